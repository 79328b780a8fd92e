"""ATTACKS, "At the egress proxy", against the live proxy: names that only look like an allowed one."""

import pytest

from tests.egress import http2
from tests.egress.asking import EVERY_WAY, Ask, Asked, port_of, refused
from tests.egress.lab import World, rule, rule_set


@pytest.mark.parametrize(
    "host",
    [
        "api.example.test.evil.com",
        "notapi.example.test",
        "evil-api.example.test",
        "xapi.example.test",
        "api.example.test.",
        "api.example.test%00.evil.com",
        "api.example.test%2eevil.com",
        "[api.example.test]",
        "api_example.test",
        "api..example.test",
        "user@api.example.test",
        "user:pass@api.example.test",
        "api.example.test:80@evil.com",
        "\u0430pi.example.test",  # a Cyrillic a
        "\uff41pi.example.test",  # a full-width a
        "xn--pi-6kc.example.test",
        "a" * 64 + ".example.test",
        ".".join(["a" * 50] * 6),
        "api.example.test\\@evil.com",
    ],
)
@EVERY_WAY
def test_names_that_only_look_like_an_allowed_one(world: World, ask: Ask, host: str) -> None:
    asked = Asked(host=host, port=port_of(world, ask), token=world.token())
    assert refused(world, ask, asked) in {"host", "malformed"}


WILD = [("*.example.test", "a.b.example.test"), ("*.example.test", "example.test"), ("**.example.test", "example.test"),
        ("*.example.test", "aexample.test"), ("**.example.test", "example.test.evil.com")]  # fmt: skip


@pytest.mark.parametrize(("pattern", "host"), WILD)
@EVERY_WAY
def test_a_wildcard_ends_at_a_label(world: World, ask: Ask, pattern: str, host: str) -> None:
    port = port_of(world, ask)
    token = world.load(rule_set(rule(hosts=[pattern], ports=[port])))
    assert refused(world, ask, Asked(host=host, port=port, token=token)) == "host"


@EVERY_WAY
def test_names_in_another_case_are_the_same_name(world: World, ask: Ask) -> None:
    reply = ask(world, Asked(host="API.Example.TEST", port=port_of(world, ask), token=world.token()))
    assert reply.status == 200
    (request,) = world.plain.received + world.secure.received
    assert request.header("host") == f"api.example.test:{port_of(world, ask)}"


@pytest.mark.parametrize("raw", [b"\x00", b"\x0b", b"\x7f", b"\x09", b"\xff"])
@pytest.mark.parametrize("start", [b"GET http://%b/ HTTP/1.1", b"GET https://%b/ HTTP/1.1", b"CONNECT %b:443 HTTP/1.1"])
def test_names_with_nul_or_control_characters(world: World, start: bytes, raw: bytes) -> None:
    name = b"api.example.test" + raw + b".evil.com"
    wire = world.lab.wire()
    token = world.token().encode()
    wire.send(start % name + b"\r\nHost: " + name + b"\r\nProxy-Authorization: Bearer " + token + b"\r\n\r\n")
    assert wire.reply().status == 400


@pytest.mark.parametrize("raw", ["\x00", "\x0b", "\x7f", "\r\nx: y"])
def test_names_with_nul_or_control_characters_over_http2(world: World, raw: str) -> None:
    own = f"api.example.test:{world.secure.port}"
    inner = world.lab.secure(world.lab.tunnel(own, world.token()), "api.example.test", ["h2"])
    reply = http2.exchange(inner, f"api.example.test{raw}:{world.secure.port}")
    assert reply.status in {0, 400, 403}
    assert world.secure.received == []
