"""ATTACKS, "At the egress proxy", against the live proxy: what names the destination twice."""

import itertools
import socket
import ssl

import h2.config
import h2.connection
import h2.events
import pytest

from tests.egress import http2
from tests.egress.asking import EVERY_WAY, TO_HTTPS, Ask, Asked, over_http2, port_of, refused
from tests.egress.lab import Wire, World, render, rule, rule_set


def test_authority_target_and_host_differ(world: World) -> None:
    head = f"GET {world.http}/ HTTP/1.1\nHost: elsewhere.example.test"
    assert world.lab.request(head, world.token()).json()["code"] == "authority"
    assert world.plain.received == []


def test_authority_host_on_another_port(world: World) -> None:
    head = f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.secure.port}"
    assert world.lab.request(head, world.token()).json()["code"] == "authority"


def test_authority_duplicate_host(world: World) -> None:
    host = f"Host: api.example.test:{world.plain.port}"
    assert world.lab.request(f"GET {world.http}/ HTTP/1.1\n{host}\n{host}", world.token()).status == 400


def test_authority_allowed_host_with_a_foreign_address(world: World) -> None:
    head = f"GET http://127.0.0.2:{world.plain.port}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}"
    assert world.lab.request(head, world.token()).status == 403
    assert world.plain.received == []


def test_authority_allowed_name_on_another_port(world: World) -> None:
    assert world.lab.get("http://api.example.test:1/", world.token()).json()["code"] == "port"


def test_authority_origin_form_to_the_proxy(world: World) -> None:
    head = f"GET / HTTP/1.1\nHost: api.example.test:{world.plain.port}"
    reply = world.lab.request(head, world.token())
    assert (reply.status, reply.json()["code"]) == (400, "malformed")


def test_authority_connect_and_its_host_header_differ(world: World) -> None:
    head = f"CONNECT api.example.test:{world.secure.port} HTTP/1.1\nHost: evil.test:{world.secure.port}"
    assert world.lab.request(head, world.token()).json()["code"] == "authority"


def test_authority_connect_elsewhere(world: World) -> None:
    for target in ("evil.test:443", f"127.1:{world.secure.port}", "api.example.test:1"):
        assert world.lab.request(f"CONNECT {target} HTTP/1.1\nHost: {target}", world.token()).status in {400, 403}


def test_authority_connect_without_token(world: World) -> None:
    target = f"api.example.test:{world.secure.port}"
    reply = world.lab.request(f"CONNECT {target} HTTP/1.1\nHost: {target}")
    assert reply.status == 407
    assert reply.header("proxy-authenticate") == 'Bearer realm="lockgate"'


def test_authority_sni_differs_from_connect(world: World) -> None:
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", world.token())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        world.lab.secure(wire, "other.example.test")
    assert world.secure.received == []


def test_authority_no_sni(world: World) -> None:
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", world.token())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        world.lab.secure(wire, None)


def test_authority_tunnel_and_inner_request_agree(world: World) -> None:
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", world.token())
    inner = world.lab.secure(wire, "api.example.test")
    for path in ("/one", "/two"):
        inner.send(render(f"GET {path} HTTP/1.1\nHost: api.example.test:{world.secure.port}"))
        assert inner.reply().json()["line"] == f"GET {path} HTTP/1.1"


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\nHost: other.example.test:{port}",
        "GET / HTTP/1.1\nHost: api.example.test:1",
        "GET / HTTP/1.1\nHost: api.example.test",
        "GET https://other.example.test:{port}/ HTTP/1.1\nHost: other.example.test:{port}",
        "GET https://other.example.test:{port}/ HTTP/1.1\nHost: api.example.test:{port}",
        "GET http://api.example.test:{port}/ HTTP/1.1\nHost: api.example.test:{port}",
        "GET / HTTP/1.1",
    ],
)
def test_authority_inside_a_tunnel_differs(world: World, head: str) -> None:
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", world.token())
    inner = world.lab.secure(wire, "api.example.test")
    inner.send(render(head.format(port=world.secure.port)))
    assert inner.reply().status in {400, 403}
    assert world.secure.received == []


def test_authority_plain_http_in_a_tunnel_is_decided_as_http(world: World) -> None:
    only_secure = world.load(rule_set(rule(schemes=["https"], ports=[world.plain.port])))
    wire = world.lab.tunnel(f"api.example.test:{world.plain.port}", only_secure)
    wire.send(render(f"GET / HTTP/1.1\nHost: api.example.test:{world.plain.port}"))
    assert wire.reply().json()["code"] == "scheme"


def received(sock: ssl.SSLSocket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


def streams(world: World, *asked: tuple[str, str | None]) -> dict[str, str]:
    """Ask for /0, /1, ... over HTTP/2 in a tunnel, each with an `:authority` and a Host; statuses by path."""
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", world.token())
    inner = world.lab.secure(wire, "api.example.test", ["h2"])
    assert inner.socket.selected_alpn_protocol() == "h2"
    lax = h2.config.H2Configuration(validate_outbound_headers=False)
    client = h2.connection.H2Connection(lax)
    client.initiate_connection()
    for number, (authority, host) in enumerate(asked):
        headers = [(":method", "GET"), (":scheme", "https"), (":path", f"/{number}"), (":authority", authority)]
        client.send_headers(2 * number + 1, headers + ([("host", host)] if host else []), end_stream=True)
    inner.send(client.data_to_send())
    statuses: dict[str, str] = {}
    ended = 0
    while ended < len(asked) and (data := received(inner.socket)):
        for event in client.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                statuses[f"/{event.stream_id // 2}"] = dict(event.headers)[b":status"].decode()
            ended += isinstance(event, h2.events.StreamEnded | h2.events.StreamReset)
        inner.send(client.data_to_send())
    return statuses


def test_authority_over_http2(world: World) -> None:
    own = f"api.example.test:{world.secure.port}"
    other = f"other.example.test:{world.secure.port}"
    statuses = streams(world, (own, None), (other, None), ("api.example.test", None), (own, own))
    assert statuses == {"/0": "200", "/1": "403", "/2": "403", "/3": "200"}
    assert sorted(request.line for request in world.secure.received) == ["GET /0 HTTP/1.1", "GET /3 HTTP/1.1"]


def test_authority_over_http2_with_another_host_header(world: World) -> None:
    statuses = streams(world, (f"api.example.test:{world.secure.port}", f"other.example.test:{world.secure.port}"))
    assert statuses in ({}, {"/0": "400"}, {"/0": "403"})
    assert world.secure.received == []


# Every place that can name the destination, and every way for some of them to name another that is allowed too.
IN_HTTP1 = ("CONNECT", "SNI", "Host", "target")
IN_HTTP2 = ("CONNECT", "SNI", ":authority", "host")


def disagreements(places: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [some for size in range(1, len(places)) for some in itertools.combinations(places, size)]


def named(world: World, place: str, deviating: tuple[str, ...], *, port: bool = True) -> str:
    name = "other.example.test" if place in deviating else "api.example.test"
    return f"{name}:{world.secure.port}" if port else name


def handshake(world: World, deviating: tuple[str, ...], alpn: list[str]) -> Wire | None:
    wire = world.lab.tunnel(named(world, "CONNECT", deviating), world.token())
    try:
        return world.lab.secure(wire, named(world, "SNI", deviating, port=False), alpn)
    except (ssl.SSLError, ConnectionError):
        return None


@pytest.mark.parametrize("deviating", disagreements(IN_HTTP1), ids="+".join)
def test_authority_every_disagreement_in_http1(world: World, deviating: tuple[str, ...]) -> None:
    inner = handshake(world, deviating, ["http/1.1"])
    if inner is not None:
        target = f"https://{named(world, 'target', deviating)}/"
        inner.send(render(f"GET {target} HTTP/1.1\nHost: {named(world, 'Host', deviating)}"))
        assert inner.reply().status in {400, 403}
    assert world.secure.received == []


@pytest.mark.parametrize("deviating", disagreements(IN_HTTP2), ids="+".join)
def test_authority_every_disagreement_in_http2(world: World, deviating: tuple[str, ...]) -> None:
    inner = handshake(world, deviating, ["h2"])
    if inner is not None:
        host = [("host", named(world, "host", deviating))]
        reply = http2.exchange(inner, named(world, ":authority", deviating), headers=host)
        assert reply.status in {0, 400, 403}
    assert world.secure.received == []


@pytest.mark.parametrize("deviating", [(), IN_HTTP1])
def test_authority_agreement_is_all_it_takes(world: World, deviating: tuple[str, ...]) -> None:
    """So that the tests above can fail: both names are allowed where everybody says the same."""
    inner = handshake(world, deviating, ["http/1.1"])
    inner.send(render(f"GET / HTTP/1.1\nHost: {named(world, 'Host', deviating)}"))
    assert inner.reply().status == 200


@TO_HTTPS
def test_authority_a_second_host_header(world: World, ask: Ask) -> None:
    for second in ("api.example.test", "other.example.test"):
        fields = [("host", f"{second}:{world.secure.port}")] * (2 if ask is over_http2 else 1)
        asked = Asked(host="api.example.test", port=world.secure.port, token=world.token(), headers=fields)
        assert refused(world, ask, asked) in {"malformed", "authority", ""}


@EVERY_WAY
def test_authority_an_allowed_name_on_another_port(world: World, ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = elsewhere.getsockname()[1]
        assert refused(world, ask, Asked(host="api.example.test", port=port, token=world.token())) == "port"


@EVERY_WAY
def test_authority_an_address_with_an_allowed_host(world: World, ask: Ask) -> None:
    host = [("Host" if ask is not over_http2 else "host", f"api.example.test:{port_of(world, ask)}")]
    asked = Asked(host="127.0.0.2", port=port_of(world, ask), token=world.token(), headers=host)
    assert refused(world, ask, asked) in {"host", "malformed", "authority", ""}
