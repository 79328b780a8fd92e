"""Functions that clients offer to their own programs, one upstream for each open session."""

import asyncio
import json
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from pydantic import ValidationError

from runtime.execution.hostcall import CallContext, HostCallError
from runtime.execution.literal_request import Preview
from runtime.portal.arguments import checked_arguments, wire_arguments
from runtime.portal.catalog import Catalog
from runtime.portal.mcp_tools import build_tools
from runtime.portal.offered_inverse import BadInverseError, OfferedInverse, checked_inverse
from runtime.portal.preview import client_request, preview_of
from runtime.portal.search import SearchIndex, SearchPage
from runtime.portal.tool import Tool, ToolReply
from sandboxes.bounded_json import MOST_ANSWER_VALUES, JsonBoundError, loads, no_constant

if TYPE_CHECKING:
    import mcp_types

DEFAULT_UPSTREAM: Final = "caller"
MAX_FUNCTIONS: Final = 128
MAX_SCHEMA_BYTES: Final = 64 << 10
MAX_OFFER_BYTES: Final = 1 << 20
MAX_PENDING: Final = 256
"""Calls of one session's functions that may wait for answers at once."""
MAX_NAME: Final = 128
MAX_UPSTREAM: Final = 64
_MAX_DETAILS: Final = 16 << 10
_MAX_MESSAGE: Final = 4_000
_ANYTHING: Final = '{"type": "object", "additionalProperties": true}'
_GONE: Final = "the client that offers this function is gone; whether it ran is not known"


class BadOfferError(ValueError):
    """An offer that is refused; the text names the function and what is wrong with it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferedFunction:
    """One function as its client describes it; schemas are JSON text, empty for none."""

    name: str
    description: str = ""
    input_schema: str = ""
    output_schema: str = ""
    read_only: bool = False
    inverse: OfferedInverse | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class FunctionCall:
    """A call for the client to answer. `name` is as it was offered, `arguments` JSON."""

    call_id: int
    name: str
    arguments: str
    execution_id: str
    timeout_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Failed:
    """A client's word that its function failed."""

    message: str
    retryable: bool = False
    retry_after_s: float = 0.0
    details: str = ""


type Tell = Callable[[FunctionCall | int], None]
"""Takes a call to the client, or the number of one that is no longer waited for. Raises HostCallError for a call that a
client which does not read leaves no room for."""


class Offer:
    """The functions of one session, and the calls of them that wait for answers. On the event loop."""

    def __init__(self, upstream: str, tools: Sequence[Tool], tell: Tell, principal: str = "") -> None:
        self.principal = principal
        self.id = f"ses_{secrets.token_hex(16)}"
        self.upstream = upstream
        self.catalog = Catalog().with_upstream(upstream, tools)
        self._tell = tell
        self._last = 0
        self._pending: dict[int, asyncio.Future[str | Failed | None]] = {}
        self._closed = False
        self._merged: tuple[Catalog, Catalog] | None = None
        self._index: SearchIndex | None = None

    def holds(self, name: str) -> bool:
        """Whether a full name is one of this offer's upstream."""
        return name.startswith(f"{self.upstream}.")

    def beside(self, catalog: Catalog) -> Catalog:
        """The catalog with these functions in it; made once for each catalog."""
        if self._merged is None or self._merged[0] is not catalog:
            tools = self.catalog.by_upstream[self.upstream]
            self._merged = (catalog, catalog.with_upstream(self.upstream, tools))
        return self._merged[1]

    def search(self, query: str, *, reads: bool = False) -> SearchPage:
        """The functions that match words; `reads`: of those that only read."""
        if self._index is None:
            self._index = SearchIndex(self.catalog)
        return self._index.search(query, MAX_FUNCTIONS, reads=reads)

    async def call(self, tool: Tool, arguments: Any, context: CallContext) -> ToolReply:
        """Have the client run one of its functions. Raises HostCallError."""
        name = tool.full_name
        sent = json.dumps(
            wire_arguments(tool, checked_arguments(tool, arguments, context.language)), ensure_ascii=False
        )
        if self._closed:
            raise _failure(
                "unavailable", "the client that offers this function is gone; nothing was sent", name, sent=False
            )
        if len(self._pending) >= MAX_PENDING:
            message = f"{MAX_PENDING} calls of this client's functions wait for answers, which is the most"
            raise HostCallError("unavailable", f"{name}: {message}", retryable=True, tool=name, details={"sent": False})
        answer = await self._answered(tool, sent, context)
        if answer is None:
            raise _failure("unavailable", _GONE, name, sent=True)
        if isinstance(answer, Failed):
            raise _told(answer, name)
        return ToolReply(value=_parsed(answer, name, context), bytes_in=len(answer.encode()))

    def repeatable(self, tool: Tool) -> bool:
        """Only what reads: there is no key a call is known by."""
        return tool.read_only

    def preview(self, tool: Tool, arguments: Any, context: CallContext) -> Preview:
        """The call that the client would be sent. Raises HostCallError."""
        checked = checked_arguments(tool, arguments, context.language)
        request = client_request(tool.original, wire_arguments(tool, checked))
        return preview_of(tool, checked, request, "the calling client", {})

    async def _answered(self, tool: Tool, arguments: str, context: CallContext) -> str | Failed | None:
        """What the client says; None if it is gone before it has."""
        self._last += 1
        number = self._last
        future: asyncio.Future[str | Failed | None] = asyncio.get_running_loop().create_future()
        self._pending[number] = future
        call = FunctionCall(
            call_id=number,
            name=tool.original,
            arguments=arguments,
            execution_id=context.execution_id,
            timeout_s=max(0.0, context.deadline - time.monotonic()),
        )
        try:
            self._tell(call)
            return await future
        except asyncio.CancelledError:
            self._tell(number)
            raise
        finally:
            self._pending.pop(number, None)

    def answer(self, call_id: int, answer: str | Failed) -> bool:
        """Hand an answer over; false for a call that was never made. One that is over already is dropped."""
        if not 1 <= call_id <= self._last:
            return False
        future = self._pending.get(call_id)
        if future is not None and not future.done():
            future.set_result(answer)
        return True

    def close(self) -> None:
        """The client is gone: what waits fails, and so does what comes."""
        self._closed = True
        for future in self._pending.values():
            if not future.done():
                future.set_result(None)


class Offers:
    """The open sessions' functions, by the sessions' ids, which nobody but the gateway knows before they are told."""

    def __init__(self) -> None:
        self._open: dict[str, Offer] = {}

    def open(self, upstream: str, functions: Sequence[OfferedFunction], tell: Tell, principal: str = "") -> Offer:
        """Offer a principal's functions. Raises BadOfferError."""
        offer = Offer(upstream, _tools(upstream, functions), tell, principal)
        self._open[offer.id] = offer
        return offer

    def find(self, session: str) -> Offer | None:
        """The session's functions. None if it is not, or no longer, open."""
        return self._open.get(session)

    def close(self, offer: Offer) -> None:
        """Take the functions back."""
        self._open.pop(offer.id, None)
        offer.close()


def _tools(upstream: str, functions: Sequence[OfferedFunction]) -> tuple[Tool, ...]:
    if len(functions) > MAX_FUNCTIONS:
        raise BadOfferError(f"{len(functions)} functions are offered; at most {MAX_FUNCTIONS}")
    size = sum(len(f.description) + len(f.input_schema) + len(f.output_schema) for f in functions)
    if size > MAX_OFFER_BYTES:
        raise BadOfferError(f"descriptions and schemas have {size} characters; at most {MAX_OFFER_BYTES} together")
    tools, skipped = build_tools(upstream, [_listed(function) for function in functions])
    if skipped:
        raise BadOfferError(f'function "{skipped[0].original}": {skipped[0].reason}')
    return _with_inverses(tools, functions)


def _with_inverses(tools: Sequence[Tool], functions: Sequence[OfferedFunction]) -> tuple[Tool, ...]:
    by_name = {tool.original: tool for tool in tools}
    for function in functions:
        if function.inverse is None:
            continue
        tool = by_name[function.name]
        try:
            by_name[function.name] = replace(tool, inverse=checked_inverse(tool, function.inverse, by_name))
        except BadInverseError as error:
            raise BadOfferError(f'function "{function.name}": inverse: {error}') from None
    return tuple(by_name[tool.original] for tool in tools)


def _listed(function: OfferedFunction) -> "mcp_types.Tool":
    import mcp_types  # noqa: PLC0415 - a tenth of a second, which no start needs

    if not function.name.strip() or len(function.name) > MAX_NAME:
        raise BadOfferError(f'function "{function.name[:MAX_NAME]}": a name has 1 to {MAX_NAME} characters')
    output = _schema(function, "output_schema_json", function.output_schema) if function.output_schema else None
    try:
        return mcp_types.Tool(
            name=function.name,
            description=function.description,
            input_schema=_schema(function, "input_schema_json", function.input_schema or _ANYTHING),
            output_schema=output,
            annotations=mcp_types.ToolAnnotations(read_only_hint=function.read_only),
        )
    except ValidationError:
        raise BadOfferError(f'function "{function.name}": it cannot be read as a tool') from None


def _schema(function: OfferedFunction, field: str, text: str) -> dict[str, Any]:
    place = f'function "{function.name}": {field}'
    if len(text) > MAX_SCHEMA_BYTES:
        raise BadOfferError(f"{place} has {len(text)} characters; at most {MAX_SCHEMA_BYTES}")
    try:
        schema = loads(text)
    except ValueError as error:
        raise BadOfferError(f"{place} is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise BadOfferError(f"{place} is not one JSON object")
    if field == "input_schema_json" and schema.get("type", "object") != "object":
        raise BadOfferError(f'{place}: arguments are one object, so its type is "object"')
    return schema


def _parsed(answer: str, name: str, context: CallContext) -> Any:
    size = len(answer.encode())
    if size > context.max_response_bytes:
        raise HostCallError(
            "limit",
            f"{name}: the answer has {size} bytes, more than response_bytes {context.max_response_bytes}; "
            "the function ran",
            tool=name,
            details={"limit": "response_bytes", "value": context.max_response_bytes},
        )
    try:
        return loads(answer, most_values=MOST_ANSWER_VALUES, parse_constant=no_constant) if answer else None
    except JsonBoundError as error:
        raise _failure("upstream_error", f"the answer is {error}; the function ran", name, sent=True) from None
    except ValueError:
        raise _failure("upstream_error", "the answer is not JSON; the function ran", name, sent=True) from None


def _told(failed: Failed, name: str) -> HostCallError:
    details: Any = None
    if failed.details and len(failed.details) <= _MAX_DETAILS:
        try:
            details = loads(failed.details)
        except ValueError:
            details = failed.details
    message = failed.message[:_MAX_MESSAGE] or "the function failed without saying why"
    after = failed.retry_after_s if 0 < failed.retry_after_s < 1e6 else None  # noqa: PLR2004 - eleven days
    return HostCallError(
        "upstream_error",
        f"{name}: {message}",
        retryable=failed.retryable,
        tool=name,
        details=details,
        retry_after=after,
    )


def _failure(code: Literal["unavailable", "upstream_error"], message: str, name: str, *, sent: bool) -> HostCallError:
    return HostCallError(code, f"{name}: {message}", tool=name, details={"sent": sent})
