"""ATTACKS, "At the egress proxy", against the live proxy: addresses, answers of DNS, the service's own ports."""

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.egress.asking import ASKERS, EVERY_WAY, Ask, Asked, port_of, refused
from tests.egress.in_process import InProcess
from tests.egress.lab import World, render, rule, rule_set, start
from tests.egress.origin import Origin, answer


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("2130706433", id="decimal"),
        pytest.param("0x7f000001", id="hexadecimal"),
        pytest.param("0177.0.0.1", id="octal"),
        pytest.param("127.1", id="short"),
        pytest.param("127.0.1", id="shorter"),
        pytest.param("0", id="zero"),
        pytest.param("127.0.0.1.", id="trailing dot"),
        pytest.param("0x7f.1", id="mixed"),
        pytest.param("127.0.0.0x1", id="hexadecimal last"),
        pytest.param("[::ffff:127.0.0.1]", id="mapped"),
        pytest.param("[::ffff:7f00:1]", id="mapped in hexadecimal"),
        pytest.param("[::127.0.0.1]", id="compatible"),
        pytest.param("[0:0:0:0:0:0:0:1]", id="long loopback"),
        pytest.param("[::1%25lo]", id="zone"),
        pytest.param("127。0。0。1", id="ideographic dots"),
        pytest.param("①27.0.0.1", id="enclosed digit"),
    ],
)
@EVERY_WAY
def test_addresses_in_other_spellings(world: World, ask: Ask, host: str) -> None:
    port = port_of(world, ask)
    rules = rule_set(rule(hosts=["**", "127.0.0.1", "::1", "::ffff:127.0.0.1"], networks=[], ports=[port]))
    code = refused(world, ask, Asked(host=host, port=port, token=world.load(rules)))
    assert code in {"malformed", "address", "host", "port"}


@pytest.mark.parametrize(
    "host",
    [
        pytest.param("127.0.0.1", id="loopback"),
        pytest.param("[::1]", id="IPv6 loopback"),
        pytest.param("0.0.0.0", id="unspecified"),
        pytest.param("[::]", id="IPv6 unspecified"),
        pytest.param("10.0.0.1", id="private"),
        pytest.param("192.168.1.1", id="private 192"),
        pytest.param("172.16.0.1", id="private 172"),
        pytest.param("[fd00::1]", id="unique local"),
        pytest.param("169.254.1.1", id="link-local"),
        pytest.param("[fe80::1]", id="IPv6 link-local"),
        pytest.param("169.254.169.254", id="metadata"),
        pytest.param("[fd00:ec2::254]", id="IPv6 metadata"),
        pytest.param("168.63.129.16", id="public metadata"),
        pytest.param("100.64.0.1", id="CGNAT"),
        pytest.param("224.0.0.1", id="multicast"),
        pytest.param("[ff02::1]", id="IPv6 multicast"),
        pytest.param("[64:ff9b::7f00:1]", id="NAT64"),
        pytest.param("[64:ff9b:1::7f00:1]", id="local NAT64"),
        pytest.param("[2002:7f00:1::]", id="6to4"),
        pytest.param("[2001:0:7f00:1::]", id="Teredo"),
        pytest.param("255.255.255.255", id="broadcast"),
        pytest.param("240.0.0.1", id="reserved"),
        pytest.param("192.0.2.1", id="documentation"),
    ],
)
@EVERY_WAY
def test_special_addresses_are_refused_unless_a_rule_names_the_network(world: World, ask: Ask, host: str) -> None:
    port = port_of(world, ask)
    rules = rule_set(rule(hosts=[host], networks=[], ports=[port]))
    assert refused(world, ask, Asked(host=host, port=port, token=world.load(rules))) == "address"


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "100.100.100.200", "[64:ff9b::a9fe:a9fe]"])
@EVERY_WAY
def test_a_network_named_for_something_else_opens_nothing(world: World, ask: Ask, host: str) -> None:
    port = port_of(world, ask)
    rules = rule_set(rule(hosts=[host], networks=["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"], ports=[port]))
    assert refused(world, ask, Asked(host=host, port=port, token=world.load(rules))) == "address"


@EVERY_WAY
def test_a_network_that_a_rule_names_is_reached(world: World, ask: Ask) -> None:
    """So that the tests above can fail: the same ways lead there when they may."""
    asked = Asked(host="127.0.0.1", port=port_of(world, ask), token=world.token())
    assert ask(world, asked).status == 200


@EVERY_WAY
def test_a_name_for_a_private_address_is_refused_before_a_connection(world: World, ask: Ask) -> None:
    port = port_of(world, ask)
    token = world.load(rule_set(rule(networks=[], ports=[port])))
    assert refused(world, ask, Asked(host="api.example.test", port=port, token=token)) == "address"


FIRST, SECOND = "93.184.215.14", "10.0.0.1"


@pytest.mark.parametrize("answers", [[FIRST, SECOND], [SECOND, FIRST], [FIRST, "::1"], [SECOND]])
@EVERY_WAY
def test_one_private_answer_among_public_ones_refuses_the_name(
    rebinding: World, resolver: dict[str, list[str]], ask: Ask, answers: list[str]
) -> None:
    resolver["rebind.example.test"] = answers
    asked = Asked(host="rebind.example.test", port=port_of(rebinding, ask), token=rebinding.token())
    assert refused(rebinding, ask, asked) == "address"


@EVERY_WAY
def test_a_name_that_answers_public_first_and_private_then(
    rebinding: World, resolver: dict[str, list[str]], ask: Ask
) -> None:
    """What counts is the answer that is connected to; an earlier one, which nobody could reach, opens nothing."""
    asked = Asked(host="turns.example.test", port=port_of(rebinding, ask), token=rebinding.token())
    resolver["turns.example.test"] = ["127.0.0.9"]
    assert refused(rebinding, ask, asked) == "address"
    resolver["turns.example.test"] = ["127.0.0.1"]
    assert refused(rebinding, ask, asked) == "address"


def test_a_kept_connection_does_not_serve_a_rule_without_its_network(world: World) -> None:
    """One client connection, the same host, two rule sets: the pooled upstream connection is not shared."""
    narrow = world.load(rule_set(rule(networks=[], ports=[world.plain.port])))
    wire = world.lab.wire()
    head = f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}"
    wire.send(render(head, world.token()))
    assert wire.reply().status == 200
    wire.send(render(head, narrow))
    assert wire.reply().status == 403
    assert len(world.plain.received) == 1


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """DNS as the proxy sees it: names to the addresses of the next answer."""
    names: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *more: Any, **options: Any) -> Any:
        if host not in names:
            return real(host, port, *more, **options)
        return [found for address in names[host] for found in real(address, port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


@pytest.fixture(scope="module")
def rebinding(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A proxy in this process, so that its resolver can lie; it may go to every name, in no private network."""
    rules = rule_set(rule(hosts=["**"], networks=[], ports=[world.plain.port, world.secure.port]))
    proxy = InProcess(tmp_path_factory.mktemp("state"), rules)
    lab = proxy.lab()
    yield World(lab, world.plain, world.secure, rules, rules)
    lab.close()
    proxy.close()


def test_own_ports_are_refused_whatever_a_rule_says(tmp_path: Path) -> None:
    gateway = Origin(lambda _: answer())
    rules = rule_set(rule(hosts=["127.0.0.1", "::1", "0.0.0.0", "api.example.test"], ports=list(range(1024, 65536))))
    lab = start(tmp_path, rules, own_ports=[gateway.port], hosts={"api.example.test": "127.0.0.1"})
    token = lab.token(rules)
    made = World(lab, gateway, gateway, rules, rules)
    for ask in ASKERS:
        for port in (gateway.port, lab.port):
            for host in ("127.0.0.1", "api.example.test", "[::1]", "0.0.0.0"):
                assert refused(made, ask, Asked(host=host, port=port, token=token)) == "address", (ask, host, port)
    assert gateway.connections == 0
    assert lab.stop() == 0
    gateway.close()
