"""A program's tool call: found, permitted, checked, made."""

import json
from dataclasses import replace
from typing import Any, Final

from runtime.execution.host_calls import Answer
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.portal.catalog_calls import PREFIX as CATALOG
from runtime.portal.catalog_calls import CatalogCalls
from runtime.portal.tool import Tool, ToolReply
from runtime.portal.upstreams import Upstreams
from sandboxes.tools import decide_tool

_RESPONSE: Final = ".response"
# JSON of an answer may be longer than the bytes it came as.
_MOST_TIMES_LARGER: Final = 4


class ToolCaller:
    """The `Tools` of executions, over the upstreams of this cell and the catalog itself.

    `upstream.tool.response` is the call of `upstream.tool`, answered with what came beside the value.
    """

    def __init__(self, upstreams: Upstreams, catalog_calls: CatalogCalls, *, infer: bool = True) -> None:
        self._upstreams = upstreams
        self._infer = infer
        self._catalog_calls = catalog_calls

    def read_only(self, name: str) -> bool:
        """Whether a tool only reads; false for one that is unknown."""
        if name.startswith(CATALOG):
            return True
        catalog = self._upstreams.catalog
        tool = catalog.find(name) or catalog.find(name.removesuffix(_RESPONSE))
        return tool is not None and tool.read_only

    async def call(self, name: str, arguments: dict[str, Any], context: CallContext) -> Answer:
        """Call a tool by its full name. Raises HostCallError."""
        if name.startswith(CATALOG):
            return _answer(name, ToolReply(value=await self._catalog_calls.call(name, arguments)), context)
        tool, whole = self._find(name)
        decision = decide_tool(context.tools, tool.full_name)
        if not decision.allowed:
            raise HostCallError("denied", decision.reason, tool=tool.full_name, details={"rule": decision.rule})
        upstream = self._upstreams.find(tool.upstream)
        if upstream is None:
            raise HostCallError(
                "unavailable", f"upstream {tool.upstream} is gone", tool=tool.full_name, details={"sent": False}
            )
        reply = await upstream.call(tool, arguments, context)
        if self._infer and tool.output is None:
            tool.observed.see(reply.value)
        return _answer(tool.full_name, replace(reply, value=_whole(reply)) if whole else reply, context)

    def _find(self, name: str) -> tuple[Tool, bool]:
        """The tool, and whether its whole response is asked for."""
        catalog = self._upstreams.catalog
        wanted = name.removesuffix(_RESPONSE)
        for asked in dict.fromkeys((name, wanted)):
            if (tool := catalog.find(asked) or catalog.find_original(asked)) is not None:
                return tool, asked != name
        name = wanted
        upstream, _, _ = name.partition(".")
        state = self._upstreams.states.get(upstream)
        if state is not None and state.phase != "ready" and upstream not in catalog.by_upstream:
            again = state.phase != "broken"
            message = f"upstream {upstream} is {state}; nothing was sent"
            nothing = {"sent": False}
            raise HostCallError("unavailable", message, retryable=again, tool=name[:200], details=nothing)
        raise HostCallError("not_found", self._unknown(name[:200]), tool=name[:200])

    def _unknown(self, name: str) -> str:
        upstream, _, _ = name.partition(".")
        catalog = self._upstreams.catalog
        near = catalog.nearest(name)
        hint = f"; the nearest are {', '.join(near)}" if near else ""
        if upstream not in self._upstreams.states:
            known = ", ".join(sorted(self._upstreams.states)) or "none"
            return f'there is no upstream "{upstream}"{hint}; the upstreams are {known}'
        return f'there is no tool "{name}"{hint or "; search for it first"}'


def _whole(reply: ToolReply) -> dict[str, Any]:
    return {
        "data": reply.value,
        "status": reply.http_status or None,
        "headers": dict(reply.headers),
        "links": dict(reply.links),
        "next": dict(reply.next) if reply.next is not None else None,
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
