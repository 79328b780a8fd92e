"""ATTACKS, "At the egress proxy", line by line against the live proxy with real sockets. Names follow the lines."""

import base64
import contextlib
import json
import ssl
import threading
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from tests.egress import http2
from tests.egress.lab import SECRET, World, render, rule, rule_set, start
from tests.egress.origin import Origin, Received, answer

ANYWHERE = {"hosts": ["**", "127.0.0.1", "0.0.0.0", "::1", "169.254.169.254", "10.0.0.1"], "networks": []}


def refused(world: World, url: str, token: str, *headers: str) -> str:
    """The code of a refusal; nothing may have reached an origin."""
    reply = world.lab.get(url, token, *headers)
    assert reply.status in {400, 403}, reply
    assert world.plain.received == []
    assert world.secure.received == []
    return reply.json()["code"]


# Addresses


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
def test_addresses_in_other_spellings(world: World, host: str) -> None:
    rules = rule_set(rule(hosts=["**", "127.0.0.1", "::1", "::ffff:127.0.0.1"], networks=[], ports=[world.plain.port]))
    token = world.load(rules)
    assert refused(world, f"http://{host}:{world.plain.port}/", token) in {"malformed", "address", "host"}


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
def test_special_addresses_are_refused_unless_a_rule_names_the_network(world: World, host: str) -> None:
    rules = rule_set(rule(hosts=[host], networks=[], ports=[world.plain.port]))
    assert refused(world, f"http://{host}:{world.plain.port}/", world.load(rules)) == "address"


def test_a_network_that_a_rule_names_is_reached(world: World) -> None:
    assert world.lab.get(f"http://127.0.0.1:{world.plain.port}/", world.token()).status == 200


def test_a_name_for_a_private_address_is_refused_before_a_connection(world: World) -> None:
    before = world.plain.connections
    rules = rule_set(rule(networks=[], ports=[world.plain.port]))
    assert refused(world, f"{world.http}/", world.load(rules)) == "address"
    assert world.plain.connections == before


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


def test_own_ports_are_refused_whatever_a_rule_says(tmp_path: Path) -> None:
    gateway = Origin(lambda _: answer())
    rules = rule_set(rule(hosts=["127.0.0.1", "::1", "0.0.0.0", "api.example.test"], ports=list(range(1024, 65536))))
    lab = start(tmp_path, rules, own_ports=[gateway.port], hosts={"api.example.test": "127.0.0.1"})
    token = lab.token(rules)
    for port in (gateway.port, lab.port):
        for host in ("127.0.0.1", "api.example.test"):
            reply = lab.get(f"http://{host}:{port}/", token)
            assert (reply.status, reply.json()["code"]) == (403, "address"), (host, port)
    assert gateway.connections == 0
    assert lab.stop() == 0
    gateway.close()


# Names


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
def test_names_that_only_look_like_an_allowed_one(world: World, host: str) -> None:
    assert refused(world, f"http://{host}:{world.plain.port}/", world.token()) in {"host", "malformed"}


def test_names_in_another_case_are_the_same_name(world: World) -> None:
    reply = world.lab.get(f"http://API.Example.TEST:{world.plain.port}/", world.token())
    assert reply.status == 200
    assert world.plain.received[0].header("host") == f"api.example.test:{world.plain.port}"


def test_names_with_nul_or_control_characters(world: World) -> None:
    for raw in (b"\x00", b"\x0b", b"\x7f"):
        wire = world.lab.wire()
        wire.send(b"GET http://api.example.test" + raw + b".evil.com/ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.reply().status == 400


# Authority


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


def over_http2(world: World, *asked: tuple[str, str | None]) -> dict[str, str]:
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
    statuses = over_http2(world, (own, None), (other, None), ("api.example.test", None), (own, own))
    assert statuses == {"/0": "200", "/1": "403", "/2": "403", "/3": "200"}
    assert sorted(request.line for request in world.secure.received) == ["GET /0 HTTP/1.1", "GET /3 HTTP/1.1"]


def test_authority_over_http2_with_another_host_header(world: World) -> None:
    statuses = over_http2(world, (f"api.example.test:{world.secure.port}", f"other.example.test:{world.secure.port}"))
    assert statuses in ({}, {"/0": "400"}, {"/0": "403"})
    assert world.secure.received == []


# Paths and framing


@pytest.mark.parametrize(
    "path",
    [
        "/open/../secret",
        "/open/%2e%2e/secret",
        "/open/%2E./secret",
        "/open/..;/secret",
        "/open/..%2fsecret",
        "/open/%5c..%5csecret",
        "/open//secret",
        "//secret",
        "/open/%2fsecret",
        "/open/%00",
        "/open/x%00.json",
        "/open/%252e%252e/secret",
        "/open/%25%32%65",
        "/open/./x",
        "/open/;x",
        "/open\\..\\secret",
        "/open/%zz",
        "/open/%0d%0aX-Injected:1",
        "/open/ü",
    ],
)
def test_paths_that_normalise_in_two_ways(world: World, path: str) -> None:
    token = world.load(rule_set(rule(paths=["/open/**"], ports=[world.plain.port])))
    assert refused(world, f"{world.http}{path}", token) in {"malformed", "path"}


def test_paths_are_sent_as_they_were_decided_on(world: World) -> None:
    token = world.load(rule_set(rule(paths=["/~a/b c/**".replace(" ", "%20")], ports=[world.plain.port])))
    reply = world.lab.get(f"{world.http}/%7ea/%62%20c/%e2%82%ac", token)
    assert reply.json()["line"] == "GET /~a/b%20c/%E2%82%AC HTTP/1.1"


def framing(world: World, raw: bytes) -> int | None:
    wire = world.lab.wire()
    head = f"POST {world.http}/ HTTP/1.1\r\nHost: api.example.test:{world.plain.port}\r\n"
    wire.send(head.encode() + f"Proxy-Authorization: Bearer {world.token()}\r\n".encode() + raw)
    try:
        return wire.reply().status
    except EOFError:
        return None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="CL with TE"),
        pytest.param(b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", id="two CLs"),
        pytest.param(b"Content-Length: 3, 3\r\n\r\nabc", id="CL list"),
        pytest.param(b"Content-Length: +3\r\n\r\nabc", id="CL with a sign"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="unknown TE"),
        pytest.param(b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="space before colon"),
        pytest.param(b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", id="obs-fold"),
        pytest.param(b"X: a\nY: b\r\nContent-Length: 0\r\n\r\n", id="bare LF"),
        pytest.param(b"X: a\rY: b\r\nContent-Length: 0\r\n\r\n", id="bare CR"),
        pytest.param(b"X: a\x00b\r\nContent-Length: 0\r\n\r\n", id="NUL in a header"),
        pytest.param(b"Content-Length: 0\n\n", id="LF LF"),
    ],
)
def test_framing_that_can_be_read_in_two_ways(world: World, raw: bytes) -> None:
    assert framing(world, raw) == 400
    assert world.plain.received == []


def test_framing_oversized_head(world: World) -> None:
    wire = world.lab.wire()
    wire.send(b"GET http://api.example.test/ HTTP/1.1\r\n" + b"X: " + b"a" * 70_000)
    assert wire.reply().status == 431


def test_framing_oversized_refused_body_is_not_kept(world: World) -> None:
    wire = world.lab.wire()
    wire.send(
        render("POST http://no.example.test/ HTTP/1.1\nHost: no.example.test\nContent-Length: 999999999", world.token())
    )
    sent = 0
    try:
        while sent < 64 << 20:
            sent += wire.socket.send(b"x" * 65536)
    except ConnectionError:
        pass
    assert sent < 64 << 20


def test_framing_a_smuggled_second_request_is_decided_by_itself(world: World) -> None:
    wire = world.lab.wire()
    host = f"Host: api.example.test:{world.plain.port}"
    wire.send(
        render(f"POST {world.http}/ HTTP/1.1\n{host}\nContent-Length: 0", world.token())
        + render(f"GET http://evil.test/ HTTP/1.1\nHost: evil.test\nProxy-Authorization: Bearer {world.token()}")
    )
    assert wire.reply().status == 200
    assert wire.reply().status == 403


def test_framing_an_http2_body_without_a_length_is_no_second_request_upstream(world: World) -> None:
    """HTTP/2 ends a body by a flag. Written to an HTTP/1 upstream without framing, this one would be a request."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: api.example.test\r\n\r\n"
    authority = f"api.example.test:{world.secure.port}"
    reply = http2.request(world.lab, authority, world.token(), method="POST", path="/outer", body=smuggled)
    assert reply.status == 200
    assert [request.line for request in world.secure.received] == ["POST /outer HTTP/1.1"]
    assert world.secure.received[0].body == smuggled


# Tunnels


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="ssh"),
        pytest.param(b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03foo\x00\x00\x01\x00\x01", id="dns"),
        pytest.param(b"\x00\x01\x02\x03 raw bytes\n\n", id="raw"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="h2c prior knowledge"),
        pytest.param(b"EHLO mail.example.test\r\n", id="smtp"),
    ],
)
def test_tunnels_carry_http_only(world: World, raw: bytes) -> None:
    before = world.plain.connections
    wire = world.lab.tunnel(f"api.example.test:{world.plain.port}", world.token())
    wire.send(raw)
    with contextlib.suppress(EOFError, ConnectionError):
        assert wire.reply().status == 400
    assert world.plain.connections == before


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x16\x03\x01\x00\x05hello", id="half a ClientHello"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: ", id="half a head"),
        pytest.param(b"G", id="a letter"),
    ],
)
def test_life_cycle_slow_loris_in_a_tunnel(tmp_path: Path, raw: bytes) -> None:
    rules = rule_set(rule(ports=[443]))
    lab = start(tmp_path, rules, hosts={"api.example.test": "127.0.0.1"}, head_timeout_s=0.2)
    wire = lab.tunnel("api.example.test:443", lab.token(rules))
    wire.send(raw)
    with contextlib.suppress(EOFError, ConnectionError):
        assert wire.reply().status == 408
    lab.stop()


def test_life_cycle_slow_loris_at_the_proxy(tmp_path: Path) -> None:
    lab = start(tmp_path, head_timeout_s=0.2)
    wire = lab.wire()
    wire.send(b"GET http://api.example.test/ HTTP/1.1\r\nHost:")
    assert wire.reply().status == 408
    assert wire.eof()
    lab.stop()


def test_tunnels_to_port_53_are_no_dns(tmp_path: Path) -> None:
    rules = rule_set(rule(ports=[53]))
    lab = start(tmp_path, rules, hosts={"api.example.test": "127.0.0.1"})
    wire = lab.tunnel("api.example.test:53", lab.token(rules))
    wire.send(b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03foo\x00\x00\x01\x00\x01")
    assert wire.reply().status == 400
    lab.stop()


def test_tunnels_h2c_upgrade_is_not_forwarded(world: World) -> None:
    world.lab.get(
        f"{world.http}/",
        world.token(),
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
    )
    assert not {"upgrade", "http2-settings", "connection"} & set(world.plain.received[0].names())


def test_tunnels_websocket_upgrade_is_not_forwarded(world: World) -> None:
    world.lab.get(
        f"{world.http}/", world.token(), "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert "upgrade" not in world.plain.received[0].names()


def test_tunnels_unsolicited_101(world: World) -> None:
    world.plain.handler = lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nraw bytes"
    reply = world.lab.get(f"{world.http}/", world.token())
    assert (reply.status, reply.json()["error"]) == (502, "response_refused")


def test_interim_responses_are_passed_over(world: World) -> None:
    world.plain.handler = lambda _: [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", answer(b"final")]
    reply = world.lab.get(f"{world.http}/", world.token())
    assert (reply.status, reply.body) == (200, b"final")


# Credentials


def test_credentials_a_second_one_beside_the_injected(world: World) -> None:
    world.lab.get(f"{world.http}/", world.token(world.with_secret), "authorization: Basic bWU6bWU=", "AUTHORIZATION: x")
    sent = [value for name, value in world.plain.received[0].headers if name.lower() == "authorization"]
    assert sent == [f"Bearer {SECRET}"]


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


@pytest.mark.parametrize(
    "reflect",
    [
        in_body, in_a_header, in_an_error_page, in_the_reason, split_over_chunks, in_a_trailer, behind_decoys,
        far_into_a_large_body, until_the_end_of_the_connection,
    ],
)  # fmt: skip
def test_credentials_echoed_back_plain(world: World, reflect) -> None:
    world.secure.handler = lambda _: reflect(SECRET)
    wire = world.lab.wire()
    wire.send(
        render(
            f"GET {world.https}/{reflect.__name__} HTTP/1.1\nHost: api.example.test:{world.secure.port}",
            world.token(world.with_secret),
        )
    )
    reply = wire.reply()
    seen = reply.body + repr(reply.headers).encode()
    assert SECRET.encode() not in seen
    if reflect not in {in_the_reason, in_a_trailer}:
        assert b"[redacted:ledger-token]" in seen or reflect is in_a_header
        assert world.lab.record(f"/{reflect.__name__}")["redactions"] > 0


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


# Life cycle


def test_life_cycle_tokens_that_do_not_hold(world: World) -> None:
    lab = world.lab
    expired = lab.token(world.open, expires_in=-1)
    other_key = lab.token(world.open, key=b"x" * 32)
    unknown_rules = lab.token(rule_set(rule(name="not-loaded")))
    good = lab.token(world.open)
    payload, _, signature = good.partition(".")
    broken = f"{payload}.{signature[:-2]}AA"
    for token in (expired, other_key, unknown_rules, broken, payload, "", "x.y", "é"):
        reply = lab.get(f"{world.http}/", token)
        assert reply.status in {403, 407}, token
        assert reply.json()["code"] == "token"
    assert world.plain.received == []


def test_life_cycle_two_tokens(world: World) -> None:
    reply = world.lab.get(f"{world.http}/", world.token(), f"Proxy-Authorization: Bearer {world.token()}")
    assert reply.status == 407


def test_life_cycle_identity_is_checked_on_every_request(world: World) -> None:
    wire = world.lab.wire()
    head = f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}"
    wire.send(render(head, world.token()))
    assert wire.reply().status == 200
    wire.send(render(head))
    assert wire.reply().status == 407


def test_life_cycle_a_token_that_expires_while_its_tunnel_is_open(world: World) -> None:
    """Nothing moves in it: a timer closes it, not the next request."""
    token = world.lab.token(world.open, expires_in=2, execution="expires-1")
    inner = world.lab.secure(world.lab.tunnel(f"api.example.test:{world.secure.port}", token), "api.example.test")
    inner.send(render(f"GET /expiring HTTP/1.1\nHost: api.example.test:{world.secure.port}"))
    assert inner.reply().status == 200
    assert inner.eof()
    assert world.lab.get(f"{world.http}/", token).status == 407
    closed = world.lab.event(lambda event: event["execution"] == "expires-1" and event["code"] == "expired")
    assert (closed["method"], closed["allowed"]) == ("CONNECT", True)


def test_life_cycle_a_token_that_expires_while_its_answer_streams(world: World) -> None:
    def endless(_: Received):
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        yield b"5\r\nhello\r\n"
        over.wait(20)

    over = threading.Event()
    world.plain.handler = endless
    wire = world.lab.wire()
    head = f"GET {world.http}/endless HTTP/1.1\nHost: api.example.test:{world.plain.port}"
    wire.send(render(head, world.lab.token(world.open, expires_in=2)))
    with pytest.raises((ConnectionError, EOFError)):
        wire.reply()
    over.set()
    assert world.lab.record("/endless")["code"] == "expired"


def test_life_cycle_a_revoked_execution_loses_its_tunnel_at_once(world: World) -> None:
    token = world.lab.token(world.open, execution="revoked-1")
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", token)
    inner = world.lab.secure(wire, "api.example.test")
    assert world.lab.command(revoke=["revoked-1"]) == {"done": True}
    assert inner.eof()
    assert world.lab.get(f"{world.http}/", token).status == 407


def test_life_cycle_a_revoked_execution_loses_a_response_under_way(world: World) -> None:
    token = world.lab.token(world.open, execution="revoked-2")

    def endless(_: Received):
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            yield b"5\r\nhello\r\n"

    world.plain.handler = endless
    wire = world.lab.wire()
    wire.send(render(f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}", token))
    assert wire.socket.recv(10)
    world.lab.command(revoke=["revoked-2"])
    with pytest.raises((ConnectionError, EOFError)):
        while wire.socket.recv(1 << 20):
            pass
        raise EOFError


def test_life_cycle_the_token_of_basic_clients(world: World) -> None:
    encoded = base64.b64encode(f"lockgate:{world.token()}".encode()).decode()
    head = (
        f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}\nProxy-Authorization: Basic {encoded}"
    )
    assert world.lab.request(head).status == 200


def test_life_cycle_an_upstream_that_breaks_off(world: World) -> None:
    world.plain.handler = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nshort"
    wire = world.lab.wire()
    wire.send(render(f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}", world.token()))
    with pytest.raises((EOFError, ConnectionError)):
        wire.reply()


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nBad Header: x\r\nContent-Length: 0\r\n\r\n"])
def test_life_cycle_an_upstream_that_speaks_no_http(world: World, raw: bytes) -> None:
    world.plain.handler = lambda _: raw
    reply = world.lab.get(f"{world.http}/", world.token())
    assert (reply.status, reply.json()["error"]) == (502, "upstream_error")
    assert b"nonsense" not in reply.body


def test_life_cycle_the_proxy_serves_on_after_all_this(world: World) -> None:
    assert world.lab.get(f"{world.https}/", world.token()).status == 200
