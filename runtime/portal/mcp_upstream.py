"""An upstream that is an MCP server: connected, listed, called, and connected again when it was gone."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final

import mcp_types
from mcp.client.client import Client
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ListenNotSupportedError, SubscriptionLost
from mcp.shared.exceptions import MCPError

from runtime.execution.byte_budget import current_hold
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.execution.literal_request import Preview
from runtime.portal.arguments import checked_arguments, wire_arguments
from runtime.portal.http_call import blamed
from runtime.portal.mcp_content import protocol_failure, read_result
from runtime.portal.mcp_helpers import ask_helper, helper_tools
from runtime.portal.mcp_inflow import FloodError
from runtime.portal.mcp_listing import Listing, Offered, Relisting, read_listing
from runtime.portal.mcp_review import ReviewFile
from runtime.portal.mcp_scope import CallScope, current_call
from runtime.portal.mcp_tools import MAX_TOOLS, McpBinding, ToolChoice, build_tools, is_code_mode_portal
from runtime.portal.mcp_transport import Closing, McpWire
from runtime.portal.preview import mcp_request, preview_of
from runtime.portal.tool import SkippedTool, Tool, ToolReply
from runtime.portal.upstream import Publish, earliest
from runtime.portal.upstream_state import Backoff, UpstreamState, innermost, reason_of
from sandboxes.upstream import InverseTool

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 20.0
_CHANGES: Final = (
    mcp_types.PromptListChangedNotification,
    mcp_types.ResourceListChangedNotification,
    mcp_types.ToolListChangedNotification,
)
_PORTAL: Final = "it is itself a code-mode portal: more tools are behind its search and execute"
_REVIEW_POLL_S: Final = 1.0
_LEAST_PAUSE_S: Final = 0.1

type OpenWire = Callable[[], AbstractAsyncContextManager[McpWire]]


class McpService:
    """Owns one connection at a time; every call shares it."""

    def __init__(  # noqa: PLR0913 - what it is, and its bounds
        self,
        name: str,
        open_wire: OpenWire,
        *,
        rules: str,
        call_timeout_s: float,
        backoff: Backoff,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        refresh_s: float = 60.0,
        review: ReviewFile | None = None,
        choice: ToolChoice | None = None,
        target: str = "",
        inverses: Mapping[str, InverseTool] | None = None,
    ) -> None:
        self.name = name
        self._open_wire = open_wire
        self._rules = rules
        self._call_timeout_s = call_timeout_s
        self._backoff = backoff
        self._connect_timeout_s = connect_timeout_s
        self._refresh_s = refresh_s
        self._review = review
        self._choice = choice
        self._target = target or f"stdio:{name}"
        self._inverses = inverses or {}
        self._client: Client | None = None
        self._closing = Closing()
        self._why = "it is still starting"
        self._again_at = 0.0
        self._look = asyncio.Event()

    async def run(self, publish: Publish) -> None:
        """Connect, stay connected, start again with growing pauses."""
        failures = 0
        while True:
            began = time.monotonic()
            reason = await self._connected(publish)
            self._client, self._why = None, reason
            steady = time.monotonic() - began > self._backoff.most_s
            failures = 1 if steady else failures + 1
            publish(self.name, UpstreamState(phase="down", reason=reason, failures=failures))
            wait_s = self._backoff.wait_s(failures)
            self._again_at = time.monotonic() + wait_s
            await asyncio.sleep(wait_s)

    async def call(self, tool: Tool, arguments: Any, context: CallContext) -> ToolReply:
        """One tools/call. A connection lost on the way is an error of this call; it is not repeated."""
        sent = wire_arguments(tool, checked_arguments(tool, arguments, context.language))
        deadline = earliest(context, self._call_timeout_s)
        scope = CallScope(token=lambda: context.token(self._rules))
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                value = await self._send(tool, sent, scope, context)
        except TimeoutError:
            self._look.set()
            raise HostCallError(
                "timeout",
                f"{tool.full_name}: no answer in time; whether the tool did its work is not known",
                tool=tool.full_name,
            ) from None
        if (hold := current_hold.get()) is not None:
            hold.take_for_call(scope.bytes_in, sent=True)
        return ToolReply(value=value)

    def repeatable(self, tool: Tool) -> bool:
        """Only what reads: there is no key a call is known by."""
        return tool.read_only

    def preview(self, tool: Tool, arguments: Any, context: CallContext) -> Preview:
        """The tools/call that `call` would send. Raises HostCallError."""
        checked = checked_arguments(tool, arguments, context.language)
        request = mcp_request(tool.binding, wire_arguments(tool, checked), self._target)
        return preview_of(tool, checked, request, self._target, self._inverses)

    async def _send(self, tool: Tool, arguments: dict[str, Any], scope: CallScope, context: CallContext) -> Any:
        client = self._client
        if client is None:
            raise HostCallError(
                "unavailable",
                f"upstream {self.name} is down: {self._why}; nothing was sent",
                retryable=True,
                tool=tool.full_name,
                retry_after=round(max(_LEAST_PAUSE_S, self._again_at - time.monotonic()), 3),
                details={"sent": False, "connected": False},
            )
        reset = current_call.set(scope)
        try:
            return await _asked(client, tool, arguments, context)
        except MCPError as error:
            raise self._translated(tool, scope, error) from error
        except (HostCallError, asyncio.CancelledError):
            raise
        except Exception as error:
            self._look.set()
            message = f"{tool.full_name}: {reason_of(error)}"
            raise HostCallError("upstream_error", message, tool=tool.full_name) from error
        finally:
            current_call.reset(reset)

    def _translated(self, tool: Tool, scope: CallScope, error: MCPError) -> HostCallError:
        """An error of the protocol, in terms of what happened on the wire where that is known."""
        self._look.set()
        if scope.failure is not None:
            return blamed(scope.failure, tool.full_name, read_only=tool.read_only)
        if error.code == mcp_types.CONNECTION_CLOSED and self._closing.reason:
            error = MCPError(error.code, f"the connection was {self._closing.reason}")
        return protocol_failure(tool, error)

    async def _connected(self, publish: Publish) -> str:
        """Stay connected as long as it goes; why it ended."""
        publish(self.name, UpstreamState(phase="starting"))
        words = why = ""
        scope = CallScope()
        current_call.set(scope)
        try:
            async with self._open_wire() as wire:
                self._closing = wire.closing
                try:
                    async with self._session(wire) as client, self._listening(client):
                        await self._serve(client, wire, publish)
                    await asyncio.sleep(0)
                finally:
                    words, why = wire.last_words(), wire.closing.reason
        except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - whatever it is, it ends this upstream alone
            reason = why or (scope.failure.message if scope.failure is not None else reason_of(error))
            if isinstance(cause := innermost(error), OSError) and cause.filename is not None:
                log.warning("upstream %s: %s", self.name, cause)
            return f"{reason}; its last words: {words}" if words else reason
        reason = why or "the connection ended"
        return f"{reason}; its last words: {words}" if words else reason

    @asynccontextmanager
    async def _session(self, wire: McpWire) -> AsyncIterator[Client]:
        client = Client(
            wire.transport,
            client_info=mcp_types.Implementation(name="lockgate", version="0"),
            message_handler=self._heard,
            cache=None,
        )
        async with _entered_within(client, self._connect_timeout_s):
            # The SDK would check answers against the server's own schema, patterns included: a hostile
            # pattern stops the event loop. Programs see what the server sent.
            client.session.validate_tool_result = _accept  # type: ignore[method-assign]
            yield client

    async def _serve(self, client: Client, wire: McpWire, publish: Publish) -> None:
        told: object = None
        relisting = Relisting()
        while not wire.closed.is_set():
            self._look.clear()
            began = time.monotonic()
            listing = await _unless_closed(wire, self._listed(client, wire))
            if listing is None:
                return
            admitted, held = await asyncio.to_thread(self._reviewed, listing.tools)
            if changed := (admitted, held, listing.offered) != told:
                told = admitted, held, listing.offered
                self._client = client
                tools, skipped = await asyncio.to_thread(self._built, admitted, listing.offered)
                publish(self.name, _ready(wire, listing), tools, (*skipped, *held))
            pause_s = relisting.pause_s(time.monotonic() - began, changed=changed)
            await self._until_something_changes(wire, pause_s)

    async def _listed(self, client: Client, wire: McpWire) -> Listing:
        async with asyncio.timeout(self._connect_timeout_s):
            try:
                return await read_listing(client, wire.inflow)
            except FloodError as error:
                wire.closing.close(str(error))
                raise

    def _reviewed(self, listed: list[mcp_types.Tool]) -> tuple[list[mcp_types.Tool], list[SkippedTool]]:
        return self._review.admit(listed[:MAX_TOOLS]) if self._review is not None else (listed, [])

    def _built(
        self, admitted: list[mcp_types.Tool], offered: Offered
    ) -> tuple[tuple[Tool, ...], tuple[SkippedTool, ...]]:
        tools, skipped = build_tools(self.name, admitted, self._choice)
        helpers, left_out = helper_tools(self.name, offered, {tool.name for tool in tools}, self._choice)
        return (*tools, *helpers), (*skipped, *left_out)

    async def _until_something_changes(self, wire: McpWire, pause_s: float) -> None:
        """The server ends or says that its tools changed, an operator accepts one, or it is time to look again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await wire.closed.wait()
        until = time.monotonic() + self._refresh_s
        while (left := until - time.monotonic()) > 0 and not wire.closed.is_set() and not self._look.is_set():
            if self._review is not None and self._review.changed:
                return
            await _first(wire.closed, self._look, min(left, _REVIEW_POLL_S))

    @asynccontextmanager
    async def _listening(self, client: Client) -> AsyncIterator[None]:
        """From 2026-07-28 on a server tells of changes only to who asked."""
        task = asyncio.create_task(self._listen(client))
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _listen(self, client: Client) -> None:
        """Look again whenever the server says so. Without this, it is looked at every `refresh_s` all the same."""
        with contextlib.suppress(MCPError, ListenNotSupportedError, SubscriptionLost, TimeoutError):
            async with client.listen(
                tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True
            ) as changes:
                async for _ in changes:
                    self._look.set()

    async def _heard(self, message: IncomingMessage) -> None:
        if isinstance(message, _CHANGES):
            self._look.set()


@asynccontextmanager
async def _entered_within(client: Client, seconds: float) -> AsyncIterator[None]:
    async with asyncio.timeout(seconds) as limit:
        async with client:
            limit.reschedule(None)
            yield


async def _accept(name: str, result: mcp_types.CallToolResult) -> None:
    """Take an answer as it came."""


async def _asked(client: Client, tool: Tool, arguments: dict[str, Any], context: CallContext) -> Any:
    """What the server answers, as the program gets it. Raises MCPError, and HostCallError for a tool that failed."""
    binding: McpBinding = tool.binding
    if binding.method != "tools/call":
        return await ask_helper(client, binding.method, arguments)

    async def progressed(progress: float, total: float | None, message: str | None) -> None:
        context.progress(progress, total or 0.0, message or "")

    return read_result(tool, await client.call_tool(binding.name, arguments, progress_callback=progressed))


def _ready(wire: McpWire, listing: Listing) -> UpstreamState:
    notes = [str(wire.surroundings or ""), _PORTAL if is_code_mode_portal(listing.tools) else "", listing.cut]
    reason = "; ".join(note for note in notes if note)
    return UpstreamState(phase="ready", reason=reason, surroundings=wire.surroundings)


async def _unless_closed[T](wire: McpWire, work: Coroutine[Any, Any, T]) -> T | None:
    """What the work gives; None, and the work ended, if the connection is closed before."""
    working = asyncio.ensure_future(work)
    closing = asyncio.ensure_future(wire.closed.wait())
    try:
        await asyncio.wait((working, closing), return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        closing.cancel()
        working.cancel()
        await asyncio.gather(working, closing, return_exceptions=True)


async def _first(one: asyncio.Event, other: asyncio.Event, seconds: float) -> None:
    """Return when either is set, or after so many seconds."""
    tasks = [asyncio.ensure_future(each.wait()) for each in (one, other)]
    try:
        await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
