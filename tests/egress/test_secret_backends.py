"""One contract for every place that keeps secrets; those of a network against servers that speak their APIs."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import certifi
import pytest

from egress.secrets.aws import AwsBackend
from egress.secrets.backend import Backend, UnavailableError
from egress.secrets.environment import EnvironmentBackend
from egress.secrets.file import FileBackend
from egress.secrets.onepassword import OnePasswordBackend
from egress.secrets.vault import VaultBackend
from sandboxes.secret_store import AwsStore, OnePasswordStore, VaultStore
from tests.egress.origin import answer
from tests.egress.stores import AwsServer, OnePasswordServer, StoreServer, VaultServer, reply

VALUE = "first-välue-of-the-secret"
LOGIN = {
    "vault-token": "root-token-1",
    "secret-id": "secret-id-1",
    "service-token": "service-token-1",
    "aws-key": "aws-secret-key-1",
    "connect": "connect-token-1",
}
NETWORK = ["vault", "vault approle", "vault kubernetes", "aws", "onepassword"]


@dataclass
class Place:
    """A back end, how a test puts a value into what is behind it, and where that value then is."""

    backend: Backend
    put: Callable[[str | None], None]
    path: str
    field: str | None
    server: StoreServer | None = None

    def read(self) -> str:
        return self.backend.read(self.path, self.field).decode()


def environment(_: Path) -> Place:
    variables: dict[str, str] = {}

    def put(value: str | None) -> None:
        variables.pop("S", None) if value is None else variables.update(S=value)

    return Place(EnvironmentBackend(variables), put, "S", None)


def file(directory: Path) -> Place:
    path = directory / "secret"

    def put(value: str | None) -> None:
        path.unlink() if value is None else path.write_text(value + "\n")

    return Place(FileBackend(), put, str(path), None)


def kubernetes(directory: Path) -> Place:
    """The layout that the kubelet makes: every key a link through `..data`, which is replaced by a rename."""
    versions = iter(range(100))

    def put(value: str | None) -> None:
        fresh = directory / f"..2026_{next(versions)}"
        fresh.mkdir()
        if value is not None:
            (fresh / "token").write_text(value)
        (directory / "..new").symlink_to(fresh.name)
        (directory / "..new").rename(directory / "..data")
        if not (directory / "token").is_symlink():
            (directory / "token").symlink_to("..data/token")

    return Place(FileBackend(), put, str(directory), "token")


def network(server: StoreServer, backend: Backend, path: str, field: str | None) -> Place:
    def put(value: str | None) -> None:
        server.entries = {} if value is None else {path: {field or "only": value}}

    return Place(backend, put, path, field, server)


def vault(**more: Any) -> Place:
    server = VaultServer()
    store = VaultStore(kind="vault", url=server.url, timeout_s=0.5, **(more or {"token": "vault-token"}))
    return network(server, VaultBackend(store, LOGIN.__getitem__, certifi.where()), "apps/ledger", "token")


def aws() -> Place:
    server = AwsServer()
    store = AwsStore(
        kind="aws",
        region="eu-central-1",
        url=server.url,
        access_key_id="NOTAREALKEYIDENT",
        secret_access_key="aws-key",
        timeout_s=0.5,
    )
    return network(server, AwsBackend(store, LOGIN.__getitem__, certifi.where()), "prod/ledger", "token")


def onepassword() -> Place:
    server = OnePasswordServer()
    store = OnePasswordStore(kind="onepassword", url=server.url, token="connect", vault="Production", timeout_s=0.5)
    return network(server, OnePasswordBackend(store, LOGIN.__getitem__, certifi.where()), "Ledger API", "token")


MADE: dict[str, Callable[[Path], Place]] = {
    "environment": environment,
    "file": file,
    "directory": kubernetes,
    "vault": lambda _: vault(),
    "vault approle": lambda _: vault(auth="approle", role_id="role-1", secret_id="secret-id"),
    "vault kubernetes": lambda _: vault(auth="kubernetes", role="lockgate", service_token="service-token"),
    "aws": lambda _: aws(),
    "onepassword": lambda _: onepassword(),
}


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made = MADE[request.param](tmp_path)
    made.put(VALUE)
    yield made
    if made.server is not None:
        made.server.close()


everywhere = pytest.mark.parametrize("place", MADE, indirect=True)
on_a_network = pytest.mark.parametrize("place", NETWORK, indirect=True)


@everywhere
def test_a_value_is_read(place: Place) -> None:
    assert place.read() == VALUE


@everywhere
def test_a_rotated_value_is_read_without_a_restart(place: Place) -> None:
    place.read()
    place.put("second value, rotated")
    assert place.read() == "second value, rotated"


@everywhere
def test_a_missing_entry_is_unavailable_and_comes_back(place: Place) -> None:
    place.read()
    place.put(None)
    with pytest.raises(UnavailableError) as caught:
        place.read()
    assert VALUE not in str(caught.value)
    place.put("back again")
    assert place.read() == "back again"


@pytest.mark.parametrize("place", [name for name in MADE if name not in {"environment", "file"}], indirect=True)
def test_a_field_that_is_not_there_is_unavailable(place: Place) -> None:
    with pytest.raises(UnavailableError):
        place.backend.read(place.path, "no-such-field")


@everywhere
def test_readings_side_by_side_agree(place: Place) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(place.read())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert found == [VALUE] * 4


def drop() -> bytes:
    raise ConnectionError  # the server closes


TROUBLE = {
    "an error that quotes the secret": lambda _: reply(
        {"errors": [VALUE], "message": VALUE}, "500 Internal Server Error"
    ),
    "a refusal that quotes the secret": lambda _: reply({"errors": [VALUE], "message": VALUE}, "403 Forbidden"),
    "a redirect": lambda _: answer(b"", "302 Found", ("Location", "http://127.0.0.1:1/elsewhere")),
    "no JSON": lambda _: answer(VALUE.encode()),
    "another form": lambda _: reply(["a", VALUE]),
    "an empty object": lambda _: reply({}),
    "nothing at all": lambda _: drop(),
    "half an answer": lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{",
    "a line that is not HTTP": lambda _: b"SSH-2.0-x\r\nConnection: close\r\n\r\n",
}


@on_a_network
@pytest.mark.parametrize("trouble", TROUBLE)
def test_a_failing_store_is_unavailable_and_quotes_nothing(place: Place, trouble: str) -> None:
    place.server.trouble = TROUBLE[trouble]
    with pytest.raises(UnavailableError) as caught:
        place.read()
    said = str(caught.value)
    assert VALUE not in said
    assert not any(secret in said for secret in LOGIN.values())


@on_a_network
def test_a_store_that_never_answers_is_given_up(place: Place) -> None:
    place.server.trouble = place.server.hang
    with pytest.raises(UnavailableError):
        place.read()


@on_a_network
def test_a_store_that_is_gone_is_unavailable(place: Place) -> None:
    place.server.close()
    with pytest.raises(UnavailableError):
        place.read()


@pytest.mark.parametrize("place", ["vault", "vault approle"], indirect=True)
def test_an_answer_without_end_is_cut_off(place: Place) -> None:
    def endless(_: object) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
        for _ in range(1000):
            yield b"x" * 65536

    place.server.trouble = endless
    with pytest.raises(UnavailableError):
        place.read()


@pytest.mark.parametrize("place", ["vault approle", "vault kubernetes"], indirect=True)
def test_a_login_is_used_again_until_vault_forgets_it(place: Place) -> None:
    place.read()
    place.read()
    assert place.server.logins == 1
    place.server.issued = "s.issued-2"
    assert place.read() == VALUE
    assert place.server.logins == 2


def test_a_rotated_login_is_used(tmp_path: Path) -> None:
    made = aws()
    made.put(VALUE)
    keys = iter(["old-key", "new-key", "new-key"])
    made.backend._credential = lambda _: next(keys)
    for _ in range(3):
        assert made.read() == VALUE
    assert made.backend._client[0] == "new-key"
    made.server.close()


def test_one_field_needs_no_name() -> None:
    made = vault()
    made.server.entries = {"a": {"x": VALUE}, "b": {"x": "1", "y": "2"}}
    assert made.backend.read("a", None).decode() == VALUE
    with pytest.raises(UnavailableError, match="name the field"):
        made.backend.read("b", None)
    made.server.close()


@pytest.mark.parametrize("kind", ["vault", "aws", "onepassword"])
def test_a_store_is_verified_by_its_certificate(kind: str, authority) -> None:
    servers = {"vault": VaultServer, "aws": AwsServer, "onepassword": OnePasswordServer}
    server = servers[kind](authority.server("127.0.0.1"))
    server.entries = {"Ledger": {"token": VALUE}}
    read = {"vault": of_vault, "aws": of_aws, "onepassword": of_onepassword}[kind]
    assert read(server.url, str(authority.file)) == VALUE
    with pytest.raises(UnavailableError):
        read(server.url, None)
    server.close()


def of_vault(url: str, ca_file: str | None) -> str:
    store = VaultStore(kind="vault", url=url, token="vault-token", ca_file=ca_file)
    return VaultBackend(store, LOGIN.__getitem__, certifi.where()).read("Ledger", "token").decode()


def of_aws(url: str, ca_file: str | None) -> str:
    keys = {"access_key_id": "NOTAREALKEYIDENT", "secret_access_key": "aws-key"}
    store = AwsStore(kind="aws", region="eu-central-1", url=url, ca_file=ca_file, **keys)
    return AwsBackend(store, LOGIN.__getitem__, certifi.where()).read("Ledger", "token").decode()


def of_onepassword(url: str, ca_file: str | None) -> str:
    store = OnePasswordStore(kind="onepassword", url=url, token="connect", vault="Production", ca_file=ca_file)
    return OnePasswordBackend(store, LOGIN.__getitem__, certifi.where()).read("Ledger", "token").decode()


def test_proxies_and_netrc_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for made in (vault(), aws(), onepassword()):
        made.put(VALUE)
        assert made.read() == VALUE
        made.server.close()


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [("vault", "hvac", "lockgate[vault]"), ("aws", "botocore", "lockgate[aws]"),
     ("onepassword", "onepasswordconnectsdk", "lockgate[onepassword]")],
)  # fmt: skip
def test_a_library_that_is_not_installed_is_named(
    name: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for loaded in [known for known in sys.modules if known.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setitem(sys.modules, module, None)
    made = MADE[name](tmp_path)
    with pytest.raises(UnavailableError, match=re.escape(extra)):
        made.read()
    made.server.close()


def test_a_key_cannot_lead_out_of_its_directory(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text(VALUE)
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "token").symlink_to(tmp_path / "outside")
    with pytest.raises(UnavailableError, match="out of its directory"):
        FileBackend().read(str(inside), "token")


def test_a_file_of_any_size_is_read_to_its_bound_only(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 1_000_000)
    assert len(FileBackend().read(str(tmp_path / "big"), None)) < 70_000
