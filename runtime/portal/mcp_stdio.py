"""JSON-RPC messages over a child's pipes, one a line, as the SDK's streams.

The SDK's own transport reads a line of any length into memory, and waits without end for a server that does not read.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import anyio
from anyio.abc import Process
from mcp.client._transport import TransportStreams
from mcp.client.stdio import get_default_environment
from mcp.os.posix.utilities import terminate_posix_process_tree
from mcp.shared.message import SessionMessage
from mcp_types import INTERNAL_ERROR, ErrorData, JSONRPCError, JSONRPCMessage, jsonrpc_message_adapter

from runtime.portal.bounded_line import KEPT, Lines, LongLine
from runtime.portal.mcp_content import TOO_LARGE
from runtime.portal.mcp_inflow import FloodError, Inflow, JsonBoundError
from runtime.portal.mcp_outbox import Outbox

_GRACE_S: Final = 2.0
_CHUNK: Final = 64 << 10
# Where servers put the id: the Python SDK at the beginning, the TypeScript SDK at the end.
_ID_FIRST = re.compile(rb'\s*\{\s*"jsonrpc"\s*:\s*"2\.0"\s*,\s*"id"\s*:\s*(\d{1,15}|"[^"\\]{1,80}")\s*,')
_ID_LAST = re.compile(rb',\s*"id"\s*:\s*(\d{1,15}|"[^"\\]{1,80}")\s*(?:,\s*"jsonrpc"\s*:\s*"2\.0"\s*)?\}\s*$')


@asynccontextmanager
async def stdio_streams(  # noqa: PLR0913 - what is started, and its bounds
    command: Sequence[str], *, env: dict[str, str], cwd: str | None, stderr: int, inflow: Inflow,
    close: Callable[[str], None],
) -> AsyncIterator[TransportStreams]:  # fmt: skip
    """Start a child and speak with it. `close` is told why, when it breaks a bound. Raises OSError."""
    process = await anyio.open_process(
        list(command),
        env=get_default_environment() | env,
        stderr=stderr,
        cwd=cwd,
        start_new_session=True,
    )
    pipes = _Pipes(process, inflow, close)
    tasks = [asyncio.create_task(pipes.read()), asyncio.create_task(pipes.write())]
    try:
        yield pipes.inward, pipes.outward
    finally:
        await asyncio.shield(_stop(process, tasks, pipes))


class _Pipes:
    """A child's standard input and output."""

    def __init__(self, process: Process, inflow: Inflow, close: Callable[[str], None]) -> None:
        self._process = process
        self._inflow = inflow
        self._close = close
        self._taken, self.inward = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self.outward = Outbox(inflow, self._flood)
        self.flooded = False

    async def read(self) -> None:
        """Until the child closes its output, or breaks a bound."""
        lines = Lines(self._inflow.bounds.message_bytes)
        try:
            while data := await self._next():
                self._inflow.total += len(data)
                if lines.skipping:
                    await self._pause(len(data) / 4_096)
                for line in lines.feed(data):
                    await self._take(line)
        except FloodError as error:
            self._flood(str(error))
        finally:
            self._taken.close()
            self._close("")

    async def _next(self) -> bytes:
        assert self._process.stdout is not None
        with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            return await self._process.stdout.receive(_CHUNK)
        return b""

    async def _take(self, line: bytes | LongLine) -> None:
        """One line: for somebody, or dropped. Raises FloodError."""
        if isinstance(line, LongLine):
            await self._refuse(line, f"has {line.size} bytes; at most {self._inflow.bounds.message_bytes} are read")
            return
        if not line.strip():
            await self._pause(1 / 8)
            return
        text = line.decode("utf-8", "replace")
        try:
            self._inflow.check(text)
            message = jsonrpc_message_adapter.validate_json(text, by_name=False)
        except JsonBoundError as error:
            await self._refuse(LongLine(line[:KEPT], line[-KEPT:], len(line)), f"is {error}")
            return
        except ValueError:
            await self._pause(len(line) / 4_096)
            await self._refuse(LongLine(line[:KEPT], line[-KEPT:], len(line)), "is no message of JSON-RPC", close=False)
            return
        cost = self._inflow.cost(message, len(line))
        wanted, scope = self._inflow.took(message)
        if cost:
            await self._pause(cost)
        if scope is not None:
            scope.bytes_in += len(line)
        if wanted:
            await self._hand_on(message)

    async def _refuse(self, line: LongLine, why: str, *, close: bool = True) -> None:
        """The call whose answer is not read fails. Raises FloodError where it is nobody's, unless not to `close`."""
        await self._pause(1)
        found = _ID_FIRST.match(line.head) or _ID_LAST.search(line.tail)
        said = found[1].decode("ascii", "replace").strip('"') if found is not None else ""
        if not said or not self._inflow.awaits(said):
            if close:
                raise FloodError(f"a message of it {why}")
            return
        code = TOO_LARGE if close else INTERNAL_ERROR
        error = ErrorData(code=code, message=f"the answer {why}; the call was made")
        message = JSONRPCError(jsonrpc="2.0", id=said, error=error)
        self._inflow.took(message)
        await self._hand_on(message)

    async def _hand_on(self, message: JSONRPCMessage) -> None:
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._taken.send(SessionMessage(message))

    async def _pause(self, units: float) -> None:
        if wait := self._inflow.unasked.spend(units, time.monotonic()):
            await asyncio.sleep(wait)

    async def write(self) -> None:
        """Until nothing more is to be sent, or the child does not take it."""
        assert self._process.stdin is not None
        try:
            async for data in self.outward.lines():
                async with asyncio.timeout(self._inflow.bounds.unread_s):
                    await self._process.stdin.send(data)
        except TimeoutError:
            self._flood(f"it has not read what was sent to it for {self._inflow.bounds.unread_s:g} s")
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            pass
        finally:
            self._taken.close()

    def _flood(self, reason: str) -> None:
        self.flooded = True
        self._close(reason)


async def _stop(process: Process, tasks: list[asyncio.Task[None]], pipes: _Pipes) -> None:
    """As the protocol says: close its input, wait, then end it and what it started. All waits are bounded."""
    pipes.outward.end()
    await asyncio.wait(tasks[1:], timeout=0.5)
    await _cancelled(tasks)
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdin.aclose()
    if not pipes.flooded:
        await _left_alone(process)
    if process.returncode is None:
        await terminate_posix_process_tree(process, _GRACE_S)
    with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
        await process.stdout.aclose()
    # It stays open while a descendant holds an end of a pipe; there is no other door to it.
    pipes.inward.close()
    transport: Any = getattr(getattr(process, "_process", None), "_transport", None)
    if transport is not None:
        transport.close()


async def _left_alone(process: Process) -> None:
    """Time to end by itself. What it still writes is read and dropped, so that it is not stuck on a full pipe."""
    assert process.stdout is not None
    with anyio.move_on_after(_GRACE_S):
        drained = 0
        with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError, OSError):
            while drained < 16 * _CHUNK:
                drained += len(await process.stdout.receive(_CHUNK))
        while process.returncode is None:  # noqa: ASYNC110 - process.wait() waits for its pipes, which others may hold
            await asyncio.sleep(0.01)


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
