"""The relay between a child and the proxy: it adds a token to the head of a connection, and that is all it does."""

import asyncio
import base64
import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.enclosure.relay import MOST_CONNECTIONS, MOST_HEAD, Relay, with_token

BASIC = b"Basic " + base64.b64encode(b"lockgate:pass")
names = st.sampled_from(["Host", "X-A", "Connection", "proxy-connection", "Proxy-Authorization", "Keep-Alive"])
fields = st.lists(st.tuples(names, st.text("abc =:", max_size=10)), max_size=6)
lines = st.sampled_from(["GET http://a/ HTTP/1.1", "CONNECT a:443 HTTP/1.1", "POST http://a/ HTTP/1.1", ""])


def head(line: str, given: list[tuple[str, str]]) -> bytes:
    return "\r\n".join([line, *(f"{name}: {value}" for name, value in given)]).encode() + b"\r\n\r\n"


@given(lines, fields)
def test_the_line_stays_the_token_is_added_and_nothing_of_the_heads_own_is_hidden(line: str, given_fields) -> None:
    made = with_token(head(line, given_fields), "TOKEN", None)
    first, *rest = made.removesuffix(b"\r\n\r\n").split(b"\r\n")
    assert first == line.encode()
    assert rest[0] == b"Proxy-Authorization: Bearer TOKEN"
    own = sum(name == "Proxy-Authorization" for name, _ in given_fields)
    assert sum(field.lower().startswith(b"proxy-authorization") for field in rest) == 1 + own
    if not line.startswith("CONNECT "):
        assert [field for field in rest if field.lower().startswith(b"connection")] == [b"Connection: close"]


@given(lines, fields)
def test_without_the_password_nothing_is_passed_on(line: str, given_fields) -> None:
    assert with_token(head(line, given_fields), "TOKEN", "pass") is None


@pytest.mark.parametrize("line", ["GET http://a/ HTTP/1.1", "CONNECT a:443 HTTP/1.1"])
def test_with_the_password_it_is_replaced(line: str) -> None:
    made = with_token(head(line, [("Host", "a"), ("Proxy-Authorization", BASIC.decode())]), "TOKEN", "pass")
    assert BASIC not in made
    assert made.count(b"roxy-") == 1
    twice = [("Proxy-Authorization", BASIC.decode())] * 2
    assert with_token(head(line, twice), "TOKEN", "pass") is None


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def nobody() -> tuple[str, int]:
    raise OSError("no proxy")


async def relayed(find) -> tuple[Relay, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    return Relay(listener, find, lambda: "T"), listener.getsockname()[1]


async def test_a_tunnel_is_carried_both_ways_to_its_end() -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)

    async def find() -> tuple[str, int]:
        return server.sockets[0].getsockname()[:2]

    relay, port = await relayed(find)
    async with server, relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"CONNECT a:1 HTTP/1.1\r\n\r\n" + b"x" * 300_000)
        writer.write_eof()
        got = await asyncio.wait_for(reader.read(-1), 20)
        assert got == b"CONNECT a:1 HTTP/1.1\r\nProxy-Authorization: Bearer T\r\n\r\n" + b"x" * 300_000
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET", b"x" * (MOST_HEAD + 100), b"GET / HTTP/1.1\r\n\r\n"])
async def test_what_never_becomes_a_request_or_finds_no_proxy_is_closed(sent: bytes) -> None:
    relay, port = await relayed(nobody)
    async with relay:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        if len(sent) < MOST_HEAD:
            writer.write_eof()
        with contextlib.suppress(ConnectionResetError):
            assert await asyncio.wait_for(reader.read(-1), 20) == b""
        writer.close()


async def test_connections_are_bounded_and_closed_with_the_relay() -> None:
    relay, port = await relayed(nobody)
    async with relay:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MOST_CONNECTIONS)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asyncio.wait_for(reader.read(-1), 20) == b""
        writer.close()
    for reader, writer in pairs:
        with pytest.raises((ConnectionResetError, AssertionError)):
            assert await asyncio.wait_for(reader.read(-1), 20) != b""
        writer.close()
