"""Carries a child's connections to the egress proxy. Adds to each the token it speaks with, which the child never sees.

Only the first head of a connection is read: after CONNECT everything is the tunnel's, and any other request is the
connection's only one. What comes of a head is the proxy's decision; the relay only says whose it is.
"""

import asyncio
import base64
import contextlib
import hmac
import re
import socket
from collections.abc import Awaitable, Callable
from typing import Final

MOST_HEAD: Final = 64 << 10
MOST_CONNECTIONS: Final = 128
HEAD_S: Final = 15.0
_PIECE: Final = 64 << 10
_OWN = re.compile(rb"(?:proxy-authorization|connection|proxy-connection|keep-alive)[ \t]*:", re.IGNORECASE)
_REFUSAL: Final = (
    b'HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm="lockgate"\r\n'
    b"content-length: 0\r\nconnection: close\r\n\r\n"
)

type Address = tuple[str, int]
type Find = Callable[[], Awaitable[Address]]
type TokenOf = Callable[[], str]


def with_token(head: bytes, token: str, password: str | None) -> bytes | None:
    """A request head that speaks with `token`; None if it should have proven the password and did not.

    Without a password whatever the head itself says of authorization stays: two of them are refused by the proxy.
    """
    line, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if password is not None:
        said = [field.partition(b":")[2].strip() for field in fields if _names(field, b"proxy-authorization")]
        wanted = b"Basic " + base64.b64encode(f"lockgate:{password}".encode())
        if len(said) != 1 or not hmac.compare_digest(said[0], wanted):
            return None
        fields = [field for field in fields if not _names(field, b"proxy-authorization")]
    if not line.startswith(b"CONNECT "):
        kept = [field for field in fields if not _OWN.match(field) or _names(field, b"proxy-authorization")]
        fields = [*kept, b"Connection: close"]
    return b"\r\n".join([line, b"Proxy-Authorization: Bearer " + token.encode(), *fields]) + b"\r\n\r\n"


def _names(field: bytes, name: bytes) -> bool:
    return field.partition(b":")[0].strip(b" \t").lower() == name


class Relay:
    """`async with Relay(...)`: listens on a socket of the child's until the block ends."""

    def __init__(self, listener: socket.socket, find: Find, token: TokenOf, password: str | None = None) -> None:
        self._listener = listener
        self._find = find
        self._token = token
        self._password = password
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> None:
        self._server = await asyncio.start_server(self._accept, sock=self._listener, limit=MOST_HEAD)

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._open) >= MOST_CONNECTIONS:
            writer.close()
            return
        self._open.add(task)
        try:
            await self._carry(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, TimeoutError):
            pass  # either side went away, or never said what it wants
        finally:
            self._open.discard(task)
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_S):
            head = await reader.readuntil(b"\r\n\r\n")
        request = with_token(head, self._token(), self._password)
        if request is None:
            writer.write(_REFUSAL)
            await writer.drain()
            return
        proxy_reader, proxy_writer = await asyncio.open_connection(*await self._find())
        try:
            proxy_writer.write(request)
            there = asyncio.create_task(_pump(reader, proxy_writer))
            try:
                await _pump(proxy_reader, writer)
            finally:
                there.cancel()
                await asyncio.gather(there, return_exceptions=True)
        finally:
            proxy_writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_PIECE):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        with contextlib.suppress(OSError):
            writer.write_eof()
