"""A program's tool call: found, permitted, checked, made."""

import json
from dataclasses import replace
from typing import Any, Final

from runtime.execution.host_calls import Answer
from runtime.execution.hostcall import CallContext, HostCallError, current_call_edits
from runtime.execution.literal_request import Inverse, Preview
from runtime.portal.catalog_calls import PREFIX as CATALOG
from runtime.portal.offers import Offer, Offers
from runtime.portal.own_calls import OwnCalls
from runtime.portal.tool import Tool, ToolReply
from runtime.portal.upstream import Upstream
from runtime.portal.upstreams import Upstreams
from sandboxes.tools import decide_tool

_RESPONSE: Final = ".response"
# JSON of an answer may be longer than the bytes it came as.
_MOST_TIMES_LARGER: Final = 4


class ToolCaller:
    """The `Tools` of executions, over the upstreams of this cell and the catalog itself.

    `upstream.tool.response` is the call of `upstream.tool`, answered with what came beside the value.
    """

    def __init__(
        self,
        upstreams: Upstreams,
        own_calls: OwnCalls,
        offers: Offers | None = None,
        *,
        infer: bool = True,
    ) -> None:
        self._upstreams = upstreams
        self._infer = infer
        self._own_calls = own_calls
        self._offers = offers or Offers()

    def read_only(self, name: str, session: str = "") -> bool:
        """Whether a tool only reads; false for one that is unknown."""
        if name.startswith(CATALOG):
            return True
        tool, _ = self._known(name, session)
        return tool is not None and tool.read_only

    def repeatable(self, name: str, session: str = "") -> bool:
        """Whether a call made twice, known by the same key, has its effect once."""
        if name.startswith(CATALOG):
            return True
        tool, offer = self._known(name, session)
        upstream = None if tool is None else offer or self._upstreams.find(tool.upstream)
        return tool is not None and upstream is not None and upstream.repeatable(tool)

    def _known(self, name: str, session: str) -> tuple[Tool | None, Offer | None]:
        offer = self._offers.find(session)
        holder = offer if offer is not None and offer.holds(name) else None
        catalog = self._upstreams.catalog if holder is None else holder.catalog
        return catalog.find(name) or catalog.find(name.removesuffix(_RESPONSE)), holder

    def check(self, name: str, context: CallContext) -> None:
        """Whether there is such a tool, and the profile allows it. Raises HostCallError as `call` would."""
        if not name.startswith(CATALOG):
            self._permitted(name, context)

    async def call(self, name: str, arguments: dict[str, Any], context: CallContext) -> Answer:
        """Call a tool by its full name. Raises HostCallError."""
        if name.startswith(CATALOG):
            offer = self._offers.find(context.session)
            return _answer(name, ToolReply(value=await self._own_calls.call(name, arguments, context, offer)), context)
        tool, whole, upstream = self._permitted(name, context)
        reply = await upstream.call(tool, arguments, context)
        if self._infer and tool.output is None:
            tool.observed.see(reply.value)
        return _answer(tool.full_name, replace(reply, value=_whole(reply)) if whole else reply, context)

    def preview(self, name: str, arguments: dict[str, Any], context: CallContext) -> Preview | None:
        """What a call would send; None where nothing leaves. Raises HostCallError as `call` would before it sends."""
        if name.startswith(CATALOG):
            return None
        tool, _, upstream = self._permitted(name, context)
        return upstream.preview(tool, arguments, context)

    def inverse(self, name: str, session: str = "") -> Inverse | None:
        """What undoes a call of a tool, by its full name; None if nothing is declared, or there is no such tool.

        Raises HostCallError `unavailable` for a function of a client that is gone: what it declared went with it.
        """
        offer = self._offers.find(session)
        holder = offer if offer is not None and offer.holds(name) else None
        if holder is None and self._gone(name, session, offer):
            raise _client_gone(name)
        catalog = self._upstreams.catalog if holder is None else holder.catalog
        tool = catalog.find(name) or catalog.find_original(name)
        return None if tool is None else self._upstreams.inverse(tool)

    def _gone(self, name: str, session: str, offer: Offer | None) -> bool:
        """Whether a name can only have been a function of a client whose stream has ended."""
        upstream, _, _ = name.partition(".")
        return bool(session) and offer is None and upstream not in self._upstreams.states

    def _permitted(self, name: str, context: CallContext) -> tuple[Tool, bool, Upstream | Offer]:
        """The tool, whether its whole response is asked for, and who answers. Raises HostCallError."""
        tool, whole, offer = self._sought(name, context)
        decision = decide_tool(context.tools, tool.full_name)
        if not decision.allowed:
            raise HostCallError("denied", decision.reason, tool=tool.full_name, details={"rule": decision.rule})
        upstream = offer or self._upstreams.find(tool.upstream)
        if upstream is None:
            raise HostCallError(
                "unavailable", f"upstream {tool.upstream} is gone", tool=tool.full_name, details={"sent": False}
            )
        return tool, whole, upstream

    def _sought(self, name: str, context: CallContext) -> tuple[Tool, bool, Offer | None]:
        """The tool, whether its whole response is asked for, and the calling client's offer if it is one of it."""
        offer = self._offers.find(context.session)
        holder = offer if offer is not None and offer.holds(name) else None
        catalog = self._upstreams.catalog if holder is None else holder.catalog
        for sought, whole in ((name, False), (name.removesuffix(_RESPONSE), name.endswith(_RESPONSE))):
            tool = catalog.find(sought) or catalog.find_original(sought)
            if tool is not None:
                return tool, whole, holder
        raise self._missing(name.removesuffix(_RESPONSE), context, offer)

    def _missing(self, name: str, context: CallContext, offer: Offer | None) -> HostCallError:
        upstream, _, _ = name.partition(".")
        if self._gone(name, context.session, offer):
            return _client_gone(name)
        state = self._upstreams.standing(upstream) if upstream in self._upstreams.states else None
        if state is not None and state.phase != "ready" and upstream not in self._upstreams.catalog.by_upstream:
            again = state.phase != "broken"
            message = f"upstream {upstream} is {state}; nothing was sent"
            nothing = {"sent": False}
            return HostCallError("unavailable", message, retryable=again, tool=name[:200], details=nothing)
        return HostCallError("not_found", self._unknown(name[:200], offer), tool=name[:200])

    def _unknown(self, name: str, offer: Offer | None) -> str:
        upstream, _, _ = name.partition(".")
        own = offer.catalog.nearest(name) if offer is not None else []
        near = [*own, *self._upstreams.catalog.nearest(name)][:3]
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        names = {*self._upstreams.states, *({offer.upstream} if offer is not None and offer.catalog.tools else ())}
        if upstream not in names:
            known = ", ".join(sorted(names)) or "none"
            return f'there is no upstream "{upstream}"{hint}; the upstreams are {known}'
        return f'there is no tool "{name}"{hint or "; search for it first"}'


def _client_gone(name: str) -> HostCallError:
    message = f"{name[:200]}: the client that offered functions is gone; nothing was sent"
    return HostCallError("unavailable", message, tool=name[:200], details={"sent": False})


def _whole(reply: ToolReply) -> dict[str, Any]:
    return {
        "data": reply.value,
        "status": reply.http_status or None,
        "headers": dict(reply.headers),
        "links": dict(reply.links),
        "related": dict(reply.related),
        "next": dict(reply.next) if reply.next is not None else None,
        **({"edits": list(edits)} if (edits := current_call_edits.get()) else {}),
    }


def _answer(tool: str, reply: ToolReply, context: CallContext) -> Answer:
    try:
        payload = json.dumps(reply.value, ensure_ascii=False, separators=(",", ":"), default=str)
    except RecursionError:
        message = f"{tool}: the answer is nested too deeply; the call was made"
        raise HostCallError("upstream_error", message, tool=tool) from None
    # An upstream's escapes can hold half a surrogate pair, which is no text to anybody after it.
    payload = payload.encode("utf-8", "replace").decode()
    size = reply.bytes_in or len(payload)
    if size > context.max_response_bytes or len(payload) > _MOST_TIMES_LARGER * context.max_response_bytes:
        raise HostCallError(
            "limit",
            f"{tool}: the answer has {size} bytes, more than response_bytes {context.max_response_bytes}; "
            "the call was made. Ask for less, page by page",
            tool=tool,
            details={"limit": "response_bytes", "value": context.max_response_bytes},
        )
    return Answer(
        payload=payload,
        http_status=reply.http_status,
        bytes_in=size,
        egress=reply.egress,
        credential=reply.credential,
    )
