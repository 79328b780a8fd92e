"""Speaks to token endpoints: by the proxy's own guarded connections, bounded in size, redirected nowhere."""

import asyncio
import ssl
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import certifi

from egress.addresses import Allowance, allowance_of
from egress.dialer import DIAL, REFUSED, AddressRefusedError, Dial

from .backend import MAX_BYTES, UnavailableError


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of a token endpoint."""

    status: int
    body: bytes = field(repr=False)


class TokenClient:
    """Posts to token endpoints. Every address it connects to passes the guard that requests of programs pass."""

    def __init__(
        self, *, trust: str | None = None, own_ports: Collection[int] = (), hosts: Mapping[str, str] | None = None
    ) -> None:
        self.trust = trust or certifi.where()
        self._own_ports = own_ports
        self._hosts: Mapping[str, str] = {} if hosts is None else hosts
        self._context: ssl.SSLContext | None = None

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, networks: tuple[str, ...]) -> Reply:
        """One POST on a connection of its own. Raises UnavailableError; the caller bounds the time."""
        return await asyncio.create_task(self._guarded(url, headers, body, allowance_of(networks)))

    async def _guarded(self, url: str, headers: Mapping[str, str], body: bytes, allowance: Allowance) -> Reply:
        """In a task of its own, so that what it may connect to is its own too."""
        import httpcore2  # noqa: PLC0415 - only proxies that fetch tokens need it

        DIAL.set(Dial(allowance, self._own_ports, dict(self._hosts)))
        try:
            async with (
                httpcore2.AsyncConnectionPool(ssl_context=self._verified(), retries=0) as pool,
                pool.stream("POST", url, headers=list(headers.items()), content=body) as response,
            ):
                return Reply(response.status, await _bounded(response))
        except (httpcore2.ConnectError, OSError) as error:
            reason = _refusal(error) or _unreachable(url)
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException):
            reason = "its token endpoint broke off, or answered what is not HTTP"
        raise UnavailableError(reason)

    def _verified(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self.trust)
            self._context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # as upstreams are verified: many companies' own
        return self._context


def _refusal(error: BaseException | None) -> str | None:
    """What the address guard said, if it was the guard: libraries wrap it in errors of their own."""
    for _ in range(10):
        if isinstance(error, AddressRefusedError):
            return f"its token endpoint may not be reached: {str(error).removeprefix(REFUSED)}"
        if isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        elif error is not None:
            error = error.__cause__ or error.__context__
    return None


def _unreachable(url: str) -> str:
    return f"its token endpoint on {urlsplit(url).hostname} could not be reached, or its certificate is not trusted"


async def _bounded(response: Any) -> bytes:
    parts: list[bytes] = []
    async for part in response.aiter_stream():
        parts.append(part)
        if sum(map(len, parts)) > MAX_BYTES:
            raise UnavailableError(f"its token endpoint answered more than {MAX_BYTES} bytes")
    return b"".join(parts)
