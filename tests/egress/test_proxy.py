"""The egress section of issue 2 against the live proxy, with real sockets."""

import json
import stat
from pathlib import Path

import pytest

from tests.egress.lab import SECRET, World, launch, render, rule, rule_set, settings, start
from tests.egress.origin import Origin, answer


def test_absolute_form_http(world: World) -> None:
    reply = world.lab.get(f"{world.http}/a/b?x=1", world.token())
    assert reply.status == 200
    seen = reply.json()
    assert seen["line"] == "GET /a/b?x=1 HTTP/1.1"
    assert dict(seen["headers"])["Host"] == f"api.example.test:{world.plain.port}"


def test_absolute_form_https_without_connect(world: World) -> None:
    reply = world.lab.get(f"{world.https}/a", world.token())
    assert reply.status == 200
    assert reply.json()["line"] == "GET /a HTTP/1.1"


def test_the_answer_carries_the_note_and_no_proxy_server_header(world: World) -> None:
    reply = world.lab.get(f"{world.http}/", world.token())
    assert reply.note() == {
        "allowed": True,
        "rule": "r",
        "credential": None,
        "reason": 'rule "r"',
        "error": None,
    }
    assert reply.header("server") is None


def test_keep_alive_serves_many_requests_on_one_upstream_connection(world: World) -> None:
    wire = world.lab.wire()
    for _ in range(5):
        wire.send(render(f"GET {world.https}/ HTTP/1.1\nHost: api.example.test:{world.secure.port}", world.token()))
        assert wire.reply().status == 200
    assert len({request.connection for request in world.secure.received}) == 1


def test_a_client_that_wants_its_connection_closed_gets_it_closed(world: World) -> None:
    wire = world.lab.wire()
    authority = f"api.example.test:{world.plain.port}"
    wire.send(render(f"GET {world.http}/ HTTP/1.1\nHost: {authority}\nConnection: close", world.token()))
    assert wire.reply().status == 200
    assert wire.eof()


def test_deny_by_default(world: World) -> None:
    reply = world.lab.get("http://elsewhere.example.test/x", world.token())
    assert reply.status == 403
    body = reply.json()
    assert body["error"] == "egress_denied"
    assert body["reason"] == "no rule names the host elsewhere.example.test"
    assert body["hint"] == {
        "hosts": ["elsewhere.example.test"],
        "ports": [80],
        "schemes": ["http"],
        "methods": ["GET"],
        "paths": ["/x"],
    }
    assert reply.note()["allowed"] is False


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"methods": ["POST"]}, "method"),
        ({"paths": ["/b/**"]}, "path"),
        ({"schemes": ["https"]}, "scheme"),
        ({"ports": [1]}, "port"),
        ({"hosts": ["*.api.example.test"]}, "host"),
    ],
)
def test_a_rule_allows_host_port_scheme_method_and_path_together(
    world: World, tmp_path: Path, fields: dict, code: str
) -> None:
    rules = rule_set(rule(**{"ports": [world.plain.port], **fields}))
    world.load(rules)
    reply = world.lab.get(f"{world.http}/a", world.token(rules))
    assert (reply.status, reply.json()["code"]) == (403, code)
    assert reply.json()["rule"] == (None if code == "host" else "r")
    assert world.plain.received == []


def test_request_and_response_bodies_stream_both_ways(world: World) -> None:
    """The proxy passes on each piece before the next one exists: neither body is buffered."""
    wire = world.lab.wire()
    authority = f"api.example.test:{world.plain.port}"
    world.plain.handler = lambda _: [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *(b"%x\r\n%s\r\n" % (len(part), part) for part in (b"one ", b"two")),
        b"0\r\n\r\n",
    ]
    head = f"POST {world.http}/both-ways HTTP/1.1\nHost: {authority}\nTransfer-Encoding: chunked"
    wire.send(render(head, world.token()))
    for _ in range(200):
        wire.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    wire.send(b"0\r\n\r\n")
    assert wire.reply().body == b"one two"
    (sent,) = [request for request in world.plain.received if "/both-ways" in request.line]
    assert len(sent.body) == 200 * 65536
    record = world.lab.record("/both-ways")
    assert (record["bytes_out"], record["bytes_in"]) == (200 * 65536, 7)


def test_bearer_injection_replaces_the_clients_own_credentials(world: World) -> None:
    reply = world.lab.get(
        f"{world.https}/",
        world.token(world.with_secret),
        "Authorization: Bearer mine",
        "Cookie: session=mine",
        "X-Api-Key: mine",
        "Accept: text/plain",
    )
    assert reply.status == 200
    sent = world.secure.received[0]
    assert [value for name, value in sent.headers if name.lower() == "authorization"] == [f"Bearer {SECRET}"]
    assert "cookie" not in sent.names()
    assert "x-api-key" not in sent.names()
    assert sent.header("accept") == "text/plain"
    assert reply.note()["credential"] == "ledger-token -> authorization: Bearer ***"


def test_without_injection_the_clients_own_credentials_pass(world: World) -> None:
    world.lab.get(f"{world.https}/", world.token(), "Authorization: Bearer mine")
    assert world.secure.received[0].header("authorization") == "Bearer mine"


def test_the_token_and_hop_by_hop_headers_do_not_leave(world: World) -> None:
    world.lab.get(
        f"{world.http}/", world.token(), "Proxy-Connection: keep-alive", "TE: trailers", "Lockgate-Egress: {}"
    )
    names = world.plain.received[0].names()
    assert not {"proxy-authorization", "proxy-connection", "te", "lockgate-egress"} & set(names)


@pytest.mark.parametrize(
    ("inject", "expected"),
    [
        ({"as": "header", "name": "X-Token"}, ("x-token", "user:pass word")),
        ({"as": "basic"}, ("authorization", "Basic dXNlcjpwYXNzIHdvcmQ=")),
        ({"as": "basic", "username": "bot"}, ("authorization", "Basic Ym90OnVzZXI6cGFzcyB3b3Jk")),
    ],
)
def test_header_and_basic_injection(tmp_path: Path, inject: dict, expected: tuple[str, str]) -> None:
    origin = Origin(lambda _: answer())
    (tmp_path / "value").write_text("user:pass word\n")
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "s", **inject}))
    lab = start(
        tmp_path, rules, hosts={"api.example.test": "127.0.0.1"}, secrets={"s": {"file": str(tmp_path / "value")}}
    )
    assert lab.get(f"http://api.example.test:{origin.port}/", lab.token(rules)).status == 200
    assert origin.received[0].header(expected[0]) == expected[1]
    lab.stop()
    origin.close()


def test_query_injection_replaces_the_parameter_and_stays_out_of_the_record(tmp_path: Path) -> None:
    origin = Origin(lambda _: answer())
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "s", "as": "query", "name": "key"}))
    lab = start(
        tmp_path,
        rules,
        hosts={"api.example.test": "127.0.0.1"},
        secrets={"s": {"env": "KEY"}},
        env={"KEY": "a+b/c&d=e f"},
    )
    lab.get(f"http://api.example.test:{origin.port}/x?a=1&KEY=mine&b", lab.token(rules))
    assert origin.received[0].line == "GET /x?a=1&b&key=a%2Bb%2Fc%26d%3De%20f HTTP/1.1"
    record = lab.records(1)[0]
    assert record["path"] == "/x?a=*&KEY=*&b=*"
    assert "a+b/c" not in json.dumps(record)
    lab.stop()
    origin.close()


def test_a_missing_secret_denies_the_request_that_needs_it_and_is_warned_of(tmp_path: Path) -> None:
    origin = Origin(lambda _: answer())
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "gone", "as": "bearer"}))
    hosts = {"api.example.test": "127.0.0.1"}
    lab = start(tmp_path, rules, hosts=hosts, secrets={"gone": {"file": str(tmp_path / "none")}})
    assert "gone" in lab.ready["warnings"][0]
    reply = lab.get(f"http://api.example.test:{origin.port}/", lab.token(rules))
    assert (reply.status, reply.json()["code"]) == (403, "secret")
    assert '"gone"' in reply.json()["reason"]
    (tmp_path / "none").write_text("now-there-is-one")
    assert lab.get(f"http://api.example.test:{origin.port}/", lab.token(rules)).status == 200
    assert len(origin.received) == 1
    lab.stop()
    origin.close()


def test_upstream_unreachable_is_told_apart_from_refused(world: World, tmp_path: Path) -> None:
    dead = Origin(lambda _: b"")
    dead.close()
    rules = rule_set(rule(ports=[dead.port]))
    world.load(rules)
    reply = world.lab.get(f"http://api.example.test:{dead.port}/", world.token(rules))
    assert reply.status == 502
    assert reply.json()["error"] == "upstream_unreachable"
    assert reply.note()["error"] == "upstream_unreachable"
    assert reply.note()["allowed"] is True
    assert reply.header("server") is None


def test_an_upstream_whose_certificate_does_not_hold_is_not_spoken_to(world: World, authority) -> None:
    wrong = Origin(lambda _: answer(), authority.server("wrong.example.test"))
    rules = rule_set(rule(ports=[wrong.port]))
    world.load(rules)
    reply = world.lab.get(f"https://api.example.test:{wrong.port}/", world.token(rules))
    assert (reply.status, reply.json()["error"]) == (502, "upstream_unreachable")
    assert "ertificate" in reply.json()["reason"]
    assert wrong.received == []
    wrong.close()


def test_every_request_has_one_event_and_none_holds_a_secret(tmp_path: Path, authority) -> None:
    origin = Origin(lambda _: answer(b"hello"), authority.server("api.example.test"))
    rules = rule_set(rule(name="ledger", ports=[origin.port], inject={"secret": "s", "as": "bearer"}))
    lab = start(
        tmp_path, rules, hosts={"api.example.test": "127.0.0.1"}, secrets={"s": {"env": "S"}}, env={"S": SECRET},
        extra_ca_file=str(authority.file),
    )  # fmt: skip
    url = f"https://api.example.test:{origin.port}"
    token = lab.token(rules)
    lab.get(f"{url}/ok?token=abc", token)
    lab.get("https://no.example.test/", token)
    lab.get(f"{url}/", None)
    allowed, denied, anonymous = lab.records(3)
    assert allowed["allowed"] is True
    assert allowed["rule"] == "ledger"
    assert (allowed["method"], allowed["host"], allowed["port"]) == ("GET", "api.example.test", origin.port)
    assert allowed["path"] == "/ok?token=*"
    assert (allowed["status"], allowed["bytes_in"]) == (200, 5)
    assert allowed["address"] == "127.0.0.1"
    assert allowed["tls"] == "TLSv1.3"
    assert (allowed["execution"], allowed["actor"], allowed["environment"]) == ("ex-1", "tester", "dev")
    assert allowed["rules"] == rules.digest()
    assert allowed["duration_ms"] > 0
    assert denied["allowed"] is False
    assert denied["reason"] == "no rule names the host no.example.test"
    assert anonymous["status"] == 407
    assert anonymous["execution"] is None
    assert SECRET not in lab.events.read_text()
    assert token not in lab.events.read_text()
    assert stat.S_IMODE(lab.events.stat().st_mode) == 0o600
    lab.stop()
    origin.close()


def test_the_certificate_authority_is_made_once_with_tight_modes(tmp_path: Path) -> None:
    first = start(tmp_path)
    made = Path(first.ready["ca_file"]).read_bytes()
    directory = tmp_path / "ca"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in directory.rglob("*") if file.is_file()} == {0o600}
    first.stop()
    second = start(tmp_path)
    assert Path(second.ready["ca_file"]).read_bytes() == made
    second.stop()


def test_the_process_ends_with_its_input(tmp_path: Path) -> None:
    lab = start(tmp_path)
    assert lab.stop() == 0


def test_the_process_ends_on_sigterm(tmp_path: Path) -> None:
    lab = start(tmp_path)
    lab.process.terminate()
    assert lab.process.wait(10) == 0
    lab.stop()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"{}", "token_key"),
        (b"not json", "settings"),
        (b'{"token_key": "c2hvcnQ=", "state_dir": "/tmp", "event_file": null, "rule_sets": {}}', "32 bytes"),
    ],
)
def test_bad_settings_are_told_without_their_values(given: bytes, said: str) -> None:
    process = launch(given)
    out, _ = process.communicate(timeout=20)
    line = json.loads(out)
    assert line["ready"] is False
    assert said in line["error"]
    assert "c2hvcnQ" not in line["error"]
    assert process.returncode == 1


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    origin = Origin(lambda _: b"")
    process = launch(settings(tmp_path, listen_port=origin.port))
    out, _ = process.communicate(timeout=20)
    assert json.loads(out)["ready"] is False
    assert str(origin.port) in json.loads(out)["error"]
    assert process.returncode == 1
    origin.close()


def test_the_environment_of_the_process_cannot_be_read_by_others(world: World) -> None:
    """Not dumpable: /proc/PID/environ belongs to root, so a sandbox's user cannot read secrets there."""
    assert Path(f"/proc/{world.lab.process.pid}").stat().st_uid == 0
    assert Path(f"/proc/{world.lab.process.pid}/environ").stat().st_mode & 0o077 == 0
