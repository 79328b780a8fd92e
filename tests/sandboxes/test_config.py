"""lockgate.yaml: what it holds, what is refused and how, and that nothing secret is shown."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandboxes.config import Config, ConfigError, load_config, split_endpoint, undeclared_secrets
from sandboxes.profile import Profile
from sandboxes.upstream import McpStdioUpstream, OpenApiUpstream

BROKEN = Path(__file__).parent / "testdata" / "broken_configs"
FULL = """
listen: {grpc: "127.0.0.1:0", mcp: "[::1]:7701"}
profiles: [profiles, /etc/lockgate/profiles]
upstreams:
  ledger:
    kind: openapi
    document: ledger.json
    base_url: http://127.0.0.1:8080
    auth: {secret: ledger-token, as: bearer}
    networks: [127.0.0.1/32]
  public: {kind: openapi, document: "https://api.example.com/openapi.json"}
  notes: {kind: mcp, command: [python, -m, notes], cwd: notes}
secrets:
  ledger-token: {env: LEDGER_TOKEN}
  other: {file: secrets/other}
hosts: {db.internal: 10.0.0.5, v6.internal: "fd00::5"}
private_services: {ledger.internal: {address: 10.1.2.3, port: 8443, network: 10.1.0.0/16}}
extra_ca_file: ca.pem
"""


def write(directory: Path, text: str) -> Path:
    path = directory / "lockgate.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_mapping_is_a_whole_configuration(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, "{}")) == Config()


def test_the_service_listens_on_loopback_unless_told_otherwise() -> None:
    assert (Config().listen.grpc, Config().listen.mcp) == ("127.0.0.1:7700", "127.0.0.1:7701")


def test_relative_paths_are_those_of_the_file(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, FULL))
    ledger, public, notes = (config.upstreams[name] for name in ("ledger", "public", "notes"))
    assert config.profiles == (str(tmp_path / "profiles"), "/etc/lockgate/profiles")
    assert isinstance(ledger, OpenApiUpstream)
    assert ledger.document == str(tmp_path / "ledger.json")
    assert isinstance(public, OpenApiUpstream)
    assert public.document == "https://api.example.com/openapi.json"
    assert isinstance(notes, McpStdioUpstream)
    assert notes.cwd == str(tmp_path / "notes")
    assert notes.command == ("python", "-m", "notes")
    assert config.secrets["ledger-token"].env == "LEDGER_TOKEN"
    assert config.secrets["other"].file == str(tmp_path / "secrets/other")
    assert config.extra_ca_file == str(tmp_path / "ca.pem")
    assert config.hosts == {"db.internal": "10.0.0.5", "v6.internal": "fd00::5"}


@pytest.mark.parametrize("path", sorted(BROKEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_broken_configuration_says_where_and_what(path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    text = str(caught.value).replace(str(path), path.name)
    assert text + "\n" == path.with_suffix(".expected").read_text(encoding="utf-8")
    assert "hunter2" not in text


def test_a_missing_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "lockgate.yaml")


ENDPOINTS = [
    ("127.0.0.1:7700", ("127.0.0.1", 7700)),
    ("[::1]:0", ("::1", 0)),
    ("Host.example:65535", ("host.example", 65535)),
]


@pytest.mark.parametrize(("text", "parts"), ENDPOINTS)
def test_an_endpoint_is_host_and_port(text: str, parts: tuple[str, int]) -> None:
    assert split_endpoint(text) == parts


@pytest.mark.parametrize(
    "text", ["", ":1", "host", "host:", "::1:80", "host:65536", "host:-1", "a b:1", "0x7f.1:80", "http://h:1"]
)
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        split_endpoint(text)


def test_profiles_that_inject_undeclared_secrets_are_named() -> None:
    rule = {"name": "web", "hosts": ["a.example"], "paths": ["/**"], "inject": {"secret": "tokn", "as": "bearer"}}
    fields = {"name": "p", "version": 1, "languages": ["python"], "environments": ["dev"]}
    profile = Profile.model_validate({**fields, "egress": {"rules": [rule]}}, strict=False)
    declared = Config.model_validate({"secrets": {"token": {"env": "T"}}})
    (line,) = undeclared_secrets(declared, [profile])
    assert line == (
        'profile "p", egress rule "web": the secret "tokn" is not declared under secrets; did you mean "token"?'
    )
    assert undeclared_secrets(Config.model_validate({"secrets": {"tokn": {"env": "T"}}}), [profile]) == ()


LINES = [line for line in FULL.splitlines() if line]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.lists(st.sampled_from(LINES) | st.text(max_size=9)).map("\n".join).map(str.encode))
def test_any_bytes_give_a_config_or_a_config_error(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "lockgate.yaml"
    path.write_bytes(data)
    try:
        assert isinstance(load_config(path), Config)
    except ConfigError as error:
        assert error.problems
