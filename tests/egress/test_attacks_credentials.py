"""ATTACKS, "At the egress proxy", against the live proxy: credentials beside, into and out of a request."""

import base64
import json
from pathlib import Path

import pytest

from tests.egress.asking import EVERY_WAY, TO_HTTPS, Ask, Asked, over_http2, port_of, securely
from tests.egress.lab import SECRET, World, rule, rule_set, start
from tests.egress.origin import Origin, answer


def test_credentials_a_second_one_beside_the_injected(world: World) -> None:
    world.lab.get(f"{world.http}/", world.token(world.with_secret), "authorization: Basic bWU6bWU=", "AUTHORIZATION: x")
    sent = [value for name, value in world.plain.received[0].headers if name.lower() == "authorization"]
    assert sent == [f"Bearer {SECRET}"]


OWN = [
    ("authorization", "Bearer mine"), ("Authorization", "Basic bWU6bWU="), ("cookie", "session=mine"),
    ("x-api-key", "mine"), ("proxy-authorization", "Bearer mine"), ("private-token", "mine"),
    ("x-amz-security-token", "mine"),
]  # fmt: skip


@TO_HTTPS
@pytest.mark.parametrize("own", OWN, ids=lambda own: own[0])
def test_credentials_of_the_clients_own_do_not_travel_beside_the_injected(
    world: World, ask: Ask, own: tuple[str, str]
) -> None:
    name = own[0].lower() if ask is over_http2 else own[0]
    token = world.token(world.with_secret)
    reply = ask(world, Asked(host="api.example.test", port=world.secure.port, token=token, headers=[(name, own[1])]))
    if own[0] == "proxy-authorization" and ask is securely:
        assert reply.status == 407  # two of them, and nobody says which is meant
        return
    assert reply.status == 200
    (request,) = world.secure.received
    assert [value for _, value in request.headers if "mine" in value or "bWU6bWU=" in value] == []
    assert request.header("authorization") == f"Bearer {SECRET}"


@TO_HTTPS
def test_credentials_echoed_back_do_not_arrive(world: World, ask: Ask) -> None:
    """The origin of these tests answers with everything it was sent."""
    reply = ask(world, Asked(host="api.example.test", port=world.secure.port, token=world.token(world.with_secret)))
    assert SECRET.encode() not in reply.body
    assert b"[redacted:ledger-token]" in reply.body


@EVERY_WAY
def test_credentials_stay_here_when_another_rule_decides(world: World, ask: Ask) -> None:
    reply = ask(world, Asked(host="api.example.test", port=port_of(world, ask), token=world.token()))
    assert reply.status == 200
    (request,) = world.plain.received + world.secure.received
    assert request.header("authorization") is None


@TO_HTTPS
@pytest.mark.parametrize(
    "location", ["http://169.254.169.254/", "https://other.example.test/", "//evil.test/", "/again"]
)
def test_credentials_do_not_follow_a_redirect(world: World, ask: Ask, location: str) -> None:
    """The proxy follows none; each hop is a request of the client's, decided afresh."""
    world.secure.handler = lambda _: answer(b"", "302 Found", ("Location", location))
    reply = ask(world, Asked(host="api.example.test", port=world.secure.port, token=world.token(world.with_secret)))
    assert (reply.status, reply.header("location")) == (302, location)
    assert len(world.secure.received) == 1


def test_credentials_crlf_in_a_value(tmp_path: Path) -> None:
    origin = Origin(lambda _: answer())
    (tmp_path / "value").write_bytes(b"abc\r\nX-Injected: 1")
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "s", "as": "bearer"}))
    lab = start(
        tmp_path, rules, hosts={"api.example.test": "127.0.0.1"}, secrets={"s": {"file": str(tmp_path / "value")}}
    )
    reply = lab.get(f"http://api.example.test:{origin.port}/", lab.token(rules))
    assert (reply.status, reply.json()["code"]) == (403, "secret")
    assert "abc" not in reply.body.decode()
    assert origin.received == []
    lab.stop()
    origin.close()


def test_credentials_a_redirect_to_another_origin_is_not_followed(world: World) -> None:
    world.plain.handler = lambda _: answer(b"", "302 Found", ("Location", "http://169.254.169.254/"))
    reply = world.lab.get(f"{world.http}/", world.token(world.with_secret))
    assert (reply.status, reply.header("location")) == (302, "http://169.254.169.254/")


def in_body(secret: str) -> bytes:
    return answer(b"before " + secret.encode() + b" after")


def in_a_header(secret: str) -> bytes:
    return answer(b"before  after", "200 OK", ("X-Echo", f"Bearer {secret}"))


def in_an_error_page(secret: str) -> bytes:
    return answer(f"<p>bad token {secret}</p>".encode(), "401 Unauthorized")


def in_the_reason(secret: str) -> bytes:
    return answer(b"before  after", f"200 {secret}")


def split_over_chunks(secret: str) -> list[bytes]:
    parts = [b"before ", *(character.encode() for character in secret), b" after"]
    return [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        *(b"%x\r\n%s\r\n" % (len(part), part) for part in parts),
        b"0\r\n\r\n",
    ]


def in_a_trailer(secret: str) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Echo\r\n\r\n"
        b"d\r\nbefore  after\r\n0\r\nX-Echo: " + secret.encode() + b"\r\n\r\n"
    )


def behind_decoys(secret: str) -> bytes:
    return answer(b"".join(secret[:length].encode() for length in range(len(secret))) * 50 + secret.encode())


def far_into_a_large_body(secret: str) -> bytes:
    return answer(b"x" * 3_000_001 + secret.encode() + b"y" * 1_000_000)


def until_the_end_of_the_connection(secret: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nbefore " + secret.encode()


@TO_HTTPS
@pytest.mark.parametrize(
    "reflect",
    [
        in_body, in_a_header, in_an_error_page, in_the_reason, split_over_chunks, in_a_trailer, behind_decoys,
        far_into_a_large_body, until_the_end_of_the_connection,
    ],
)  # fmt: skip
def test_credentials_echoed_back_plain(world: World, ask: Ask, reflect) -> None:
    world.secure.handler = lambda _: reflect(SECRET)
    path = f"/{reflect.__name__}/{ask.__name__}"
    token = world.token(world.with_secret)
    reply = ask(world, Asked(host="api.example.test", port=world.secure.port, token=token, path=path))
    assert reply.status == (401 if reflect is in_an_error_page else 200)
    seen = reply.body + repr(reply.headers).encode()
    assert SECRET.encode() not in seen
    if reflect not in {in_the_reason, in_a_trailer}:
        assert b"[redacted:ledger-token]" in seen or reflect is in_a_header
        assert world.lab.record(path)["redactions"] > 0


def test_credentials_echoed_back_in_an_unknown_coding_are_refused_rather_than_passed(world: World) -> None:
    world.secure.handler = lambda _: answer(b"...", "200 OK", ("Content-Encoding", "compress"))
    reply = world.lab.get(f"{world.https}/", world.token(world.with_secret), "Accept-Encoding: gzip, br, zstd")
    assert (reply.status, reply.json()["error"]) == (502, "response_refused")
    assert "cannot be searched" in reply.json()["reason"]
    assert world.secure.received[0].header("accept-encoding") == "identity"


def test_credentials_basic_rendering_is_redacted(tmp_path: Path) -> None:
    origin = Origin(lambda request: answer((request.header("authorization") or "").encode()))
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "s", "as": "basic", "username": "bot"}))
    lab = start(
        tmp_path, rules, hosts={"api.example.test": "127.0.0.1"}, secrets={"s": {"env": "S"}}, env={"S": SECRET}
    )
    reply = lab.get(f"http://api.example.test:{origin.port}/", lab.token(rules))
    assert reply.body == b"Basic [redacted:s]"
    assert base64.b64encode(f"bot:{SECRET}".encode()) not in reply.body
    lab.stop()
    origin.close()


def test_credentials_an_upstream_cannot_speak_for_the_proxy(world: World) -> None:
    forged = json.dumps({"allowed": True, "rule": "forged"})
    world.plain.handler = lambda _: answer(b"", "200 OK", ("Lockgate-Egress", forged), ("lockgate-other", "x"))
    reply = world.lab.get(f"{world.http}/", world.token())
    assert reply.note()["rule"] == "r"
    assert [name for name, _ in reply.headers if name.lower().startswith("lockgate-")] == ["lockgate-egress"]
