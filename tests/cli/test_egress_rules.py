"""`lockgate egress explain`, `learn` and `diff` as an operator runs them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runtime.cli import main
from sandboxes.egress_decision import decide
from sandboxes.egress_event import to_ocsf
from sandboxes.profile_file import parse_profile
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_set import RuleSet
from tests.cell import ROOT, open_shared_state

HEAD = "name: mine\nversion: 4\nlanguages: [python]\nenvironments: [dev, prod]\n"
RULES = """
egress:
  rules:
    - name: weather
      hosts: [api.weather.example]
      paths: [/v1/**]
      inject: {secret: weather-key, as: header, name: x-api-key}
    - name: notes
      hosts: [mcp.example]
      methods: [POST]
      paths: [/mcp]
      mcp: {tools: [search]}
"""
PAGED = {"query": {"page": {}}, "query_exact": True}
REPORT = "\negress:\n  mode: report\n  rules:\n    - {name: open, hosts: [open.example], paths: [/]}\n"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return open_shared_state(tmp_path / "home").path


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


type Lockgate = Callable[..., Done]


@pytest.fixture
def lockgate(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Lockgate:
    """The command in this process; one test beside these runs it in its own."""
    monkeypatch.setenv("LOCKGATE_HOME", str(home))
    monkeypatch.chdir(home.parent)

    def run(*arguments: str) -> Done:
        with pytest.raises(SystemExit) as ended:
            main(["egress", *arguments])
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    return run


def profile(home: Path, text: str, name: str = "mine.yaml") -> str:
    path = home.parent / name
    path.write_text(HEAD + text, encoding="utf-8")
    return str(path)


def test_explain_an_allowed_request(lockgate: Lockgate, home: Path) -> None:
    mine = profile(home, RULES)
    done = lockgate("explain", "https://api.weather.example/v1/today", "--profile", mine)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "GET https://api.weather.example/v1/today under profile mine, mode enforce",
        'allowed by rule "weather"',
        "  with the credential weather-key -> x-api-key: ***",
        "  if every address of its name is a public one, which is checked when it connects",
        "",
        "  weather  allows it",
        "  notes  host: it names other hosts",
    ]


def test_explain_a_refused_request_with_the_closest_rule_and_the_smallest(lockgate: Lockgate, home: Path) -> None:
    mine = profile(home, RULES)
    done = lockgate("explain", "https://api.weather.example/v2", "--method", "PUT", "--body", "x", "--profile", mine)
    assert done.returncode == 4
    assert done.stdout.splitlines()[1] == "refused (method): no rule allows PUT to api.weather.example"
    assert "  weather  method: it names other methods  <- closest" in done.stdout
    assert "    paths: [/v2]" in done.stdout


def test_the_command_in_a_process_of_its_own(home: Path) -> None:
    command = [sys.executable, "-m", "runtime.cli", "egress", "explain", "https://a.example/", "--profile", "trusted"]
    env = {**os.environ, "LOCKGATE_HOME": str(home)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "under profile trusted" in done.stdout


def test_explain_by_the_body(lockgate: Lockgate, home: Path) -> None:
    asked = ["explain", "https://mcp.example/mcp", "--method", "POST", "--profile", profile(home, RULES)]
    typed = [*asked, "--header", "Content-Type: application/json"]
    unknown = lockgate(*typed)
    assert (unknown.returncode, "not decided without its body" in unknown.stdout) == (4, True)
    call = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "search"}}
    assert lockgate(*typed, "--body", json.dumps(call)).returncode == 0
    call["params"] = {"name": "drop"}
    refused = lockgate(*typed, "--body", json.dumps(call))
    assert 'refused (mcp): rule "notes": the body calls the tool "drop"' in refused.stdout


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user@api.weather.example/", "user information in an authority is refused"),
        ("https://api.weather.example./v1", "without the trailing dot"),
        ("https://api.weather.example/a/../b", '"." or ".." segments'),
        ("https://2130706433/", "plain dotted-decimal"),
        ("ftp://api.weather.example/", "not an http or https URL"),
    ],
)
def test_explain_a_url_that_is_refused_as_it_is_written(lockgate: Lockgate, home: Path, url: str, said: str) -> None:
    done = lockgate("explain", url)
    assert done.returncode == 4
    assert said in done.stderr


def test_explain_knows_addresses_and_mode_report(lockgate: Lockgate, home: Path) -> None:
    rules = (
        "\negress:\n  mode: report\n  rules:\n    - {name: local, hosts: [127.0.0.1], schemes: [http], paths: [/**]}\n"
    )
    mine = profile(home, rules)
    local = lockgate("explain", "http://127.0.0.1/", "--profile", mine)
    assert (local.returncode, "127.0.0.1 is a loopback address" in local.stdout) == (4, True)
    other = ["explain", "https://elsewhere.example/", "--profile", mine]
    let_go = lockgate(*other)
    assert (let_go.returncode, "mode report records this and lets it go" in let_go.stdout) == (0, True)
    assert lockgate(*other, "--environment", "prod").returncode == 4


def test_explain_an_unknown_profile(lockgate: Lockgate, home: Path) -> None:
    done = lockgate("explain", "https://a.example/", "--profile", "standart")
    assert (done.returncode, "standard" in done.stderr) == (4, True)


def test_explain_names_every_credential(lockgate: Lockgate, home: Path) -> None:
    one = "inject: {secret: weather-key, as: header, name: x-api-key}"
    several = "inject: [{secret: weather-key, as: header, name: x-api-key}, {secret: client, as: query, name: id}]"
    mine = profile(home, RULES.replace(one, several))
    done = lockgate("explain", "https://api.weather.example/v1/now", "--profile", mine)
    assert "  with the credential weather-key -> x-api-key: ***" in done.stdout
    assert "  with the credential client -> ?id=***" in done.stdout


def test_diff_says_what_is_new_and_its_status_tells_ci(lockgate: Lockgate, home: Path) -> None:
    old = profile(home, RULES, "old.yaml")
    wider = RULES.replace("tools: [search]", "tools: [search, drop]").replace("/v1/**]", "/v1/**, /v2/*]")
    new = profile(home, wider, "new.yaml")
    done = lockgate("diff", old, new)
    assert done.returncode == 6
    assert done.stdout.splitlines() == [
        "newly allowed:",
        '  rule "weather": GET https://api.weather.example:443/v2/*',
        '  rule "weather": HEAD https://api.weather.example:443/v2/*',
        '  rule "notes": POST https://mcp.example:443/mcp with {"mcp":{"tools":["search","drop"]}}',
        "newly reachable credentials:",
        '  rule "weather" adds weather-key -> x-api-key: *** to GET https://api.weather.example:443/v2/*',
        '  rule "weather" adds weather-key -> x-api-key: *** to HEAD https://api.weather.example:443/v2/*',
    ]
    back = lockgate("diff", new, old)
    assert (back.returncode, back.stdout) == (0, "nothing is newly allowed\n")
    assert json.loads(lockgate("diff", old, new, "--json").stdout)["allowed"]


def event(number: int, **fields: Any) -> str:
    base = {
        "time": f"2026-01-01T00:00:{number:02}.000+00:00", "event": "egress", "uid": str(number), "allowed": True,
        "code": "allowed", "reason": "", "rule": None, "method": "GET", "scheme": "https", "host": "api.example",
        "port": 443, "path": "/", "status": 200, "bytes_out": 0, "bytes_in": 0, "duration_ms": 1.0,
        "execution": "ex-1", "environment": "dev", "would_deny": "host", "hint": {},
    }  # fmt: skip
    return json.dumps(to_ocsf({**base, **fields}))


def test_learn_proposes_a_profile_that_allows_what_was_seen_and_no_more(lockgate: Lockgate, home: Path) -> None:
    mine = profile(home, REPORT)
    rules = parse_profile(Path(mine).read_bytes(), mine).egress.digest()
    lines = [
        *(event(n, path=f"/users/{n}?page=*", rules=rules, hint=PAGED) for n in range(4)),
        event(5, path="/users/9", rules=rules),
        event(6, path="/teams/red", rules=rules),
        event(7, path="/teams/blue", rules=rules),
        event(
            8, method="POST", path="/import", bytes_out=700, rules=rules, hint={"body": {"content_types": ["text/csv"]}}
        ),
        event(9, host="open.example", would_deny=None, rule="open", rules=rules),
        event(10, host="other.example", rules="sha256:of-another"),
        event(11, method="CONNECT", path=None, rules=rules),
        event(12, host="10.0.0.7", port=8443, code="address", allowed=False, reason="10.0.0.7 is private", rules=rules),
        "not an event",
    ]
    record = home.parent / "record.jsonl"
    record.write_text("\n".join(lines) + "\n")
    done = lockgate("learn", "--profile", mine, "--events", str(record))
    assert done.returncode == 0, done.stderr
    assert "10.0.0.7 is private; if it is meant, write its network under networks" in done.stderr
    learned = parse_profile(done.stdout.encode(), "learned.yaml")
    assert (learned.name, learned.version, learned.egress.mode) == ("mine", 5, "enforce")
    assert [rule.name for rule in learned.egress.rules] == [
        "open",
        "10-0-0-7",
        "api-example",
        "api-example-2",
        "api-example-3",
    ]

    def allowed(method: str, url: str, **more: Any) -> bool:
        host, _, path = url.partition("/")
        path, _, query = f"/{path}".partition("?")
        asked = RequestFacts(method=method, scheme="https", host=host, port=443, path=path, query=query or None, **more)
        return decide(learned.egress, asked).allowed

    assert allowed("GET", "api.example/users/77?page=2")
    assert allowed("GET", "api.example/teams/red")
    csv = {"headers": ((b"content-type", b"text/csv"),), "body_length": 1024}
    assert allowed("POST", "api.example/import", **csv)
    assert not allowed("POST", "api.example/import", **{**csv, "body_length": 1025})
    for refused in ("users", "users/1/keys", "users/1?debug=1", "teams/green", "teams/red?x=1", "import"):
        assert not allowed("GET", f"api.example/{refused}")
    assert not allowed("DELETE", "api.example/users/1")
    assert not allowed("GET", "other.example/")


def test_learn_finds_the_profile_by_its_rules_and_says_when_it_cannot(lockgate: Lockgate, home: Path) -> None:
    record = home.parent / "record.jsonl"
    record.write_text(event(1, rules="sha256:gone") + "\n")
    done = lockgate("learn", "--events", str(record))
    assert done.returncode == 4
    assert "no profile as it is now" in done.stderr
    directory = home.parent / "profiles"
    directory.mkdir()
    (directory / "mine.yaml").write_text(HEAD + REPORT)
    (home.parent / "lockgate.yaml").write_text("profiles: [profiles]\n")
    rules = parse_profile((HEAD + REPORT).encode(), "mine.yaml").egress.digest()
    record.write_text(event(1, rules=rules) + "\n")
    done = lockgate("learn", "--events", str(record))
    assert done.returncode == 0, done.stderr
    assert RuleSet.model_validate(parse_profile(done.stdout.encode(), "x").egress.model_dump(by_alias=True))
