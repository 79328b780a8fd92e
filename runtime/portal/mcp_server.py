"""The pair `search` and `execute` as an MCP server, over any transport of the official SDK."""

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import asdict, replace
from typing import Any, Final

import mcp_types
from mcp.server.connection import allowed_log_levels
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError

from runtime.portal import how_to, pair
from runtime.portal.face import (
    CATALOG_PROFILE,
    BadRequestError,
    CallNote,
    DescribeReply,
    ExecuteReply,
    PortalFace,
    PortalLog,
    Requester,
    SearchReply,
)
from runtime.portal.file_content import file_block
from runtime.portal.mcp_elicitation import ask_from, ask_of, asks_in_answers, input_required, offers_forms
from runtime.portal.reply_text import describe_text, execute_text, search_text
from runtime.portal.schema import Shape
from runtime.portal.validation import check

DEFAULT_LIMIT: Final = 10
_MOST_SESSION: Final = 100
BEAT_S: Final = 5.0
"""After so long without any other progress, a client that wants progress hears that the program still runs."""
_LEVELS: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")

type _Context = ServerRequestContext[Any, Any]
type _Answer = mcp_types.CallToolResult | mcp_types.InputRequiredResult


def portal_server(
    face: PortalFace, version: str, requester_of: Callable[[Any], str] | None = None, *, read_only: bool = False
) -> Server[Any]:
    """The server. `requester_of` takes the transport's request (None over stdio) to whom its token proved.

    `read_only` is what it says of itself; that nothing else can be called is up to `face`.
    """
    handlers = _Handlers(face, requester_of or (lambda _: ""), read_only=read_only)
    server: Server[Any] = Server(
        pair.NAME,
        version=version,
        instructions=pair.INSTRUCTIONS,
        on_list_tools=handlers.list_tools,
        on_call_tool=handlers.call_tool,
        on_list_resources=handlers.list_resources,
        on_read_resource=handlers.read_resource,
    )
    # By way of add_request_handler, because the constructor warns of the capability's age.
    server.add_request_handler("logging/setLevel", mcp_types.SetLevelRequestParams, handlers.set_level)
    return server


async def serve_stdio(server: Server[Any]) -> None:
    """Serve one client over standard input and output, until it closes them."""
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


class _Handlers:
    def __init__(self, face: PortalFace, requester_of: Callable[[Any], str], *, read_only: bool) -> None:
        self._face = face
        self._requester_of = requester_of
        self._read_only = read_only
        self._own_session = f"mcp_{secrets.token_hex(16)}"

    async def list_tools(
        self, _: _Context, params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListToolsResult:
        _only_page(params)
        return mcp_types.ListToolsResult(tools=pair.tools(await self._face.overview(), read_only=self._read_only))

    async def list_resources(
        self, _: _Context, params: mcp_types.PaginatedRequestParams | None
    ) -> mcp_types.ListResourcesResult:
        _only_page(params)
        guide = mcp_types.Resource(
            uri=how_to.URI, name=how_to.NAME, description="How to write programs, in full.", mime_type="text/markdown"
        )
        return mcp_types.ListResourcesResult(resources=[guide])

    async def read_resource(
        self, _: _Context, params: mcp_types.ReadResourceRequestParams
    ) -> mcp_types.ReadResourceResult:
        if str(params.uri) != how_to.URI:
            raise MCPError(mcp_types.INVALID_PARAMS, f"there is no such resource; there is {how_to.URI}")
        text = mcp_types.TextResourceContents(uri=how_to.URI, mime_type="text/markdown", text=how_to.TEXT)
        return mcp_types.ReadResourceResult(contents=[text])

    async def set_level(self, context: _Context, params: mcp_types.SetLevelRequestParams) -> mcp_types.EmptyResult:
        context.session._connection.state["log_level"] = params.level  # noqa: SLF001 - the SDK has no public door to it
        return mcp_types.EmptyResult()

    async def call_tool(self, context: _Context, params: mcp_types.CallToolRequestParams) -> _Answer:
        arguments = params.arguments or {}
        requester = self._requester(context)
        tool = next((tool for tool in pair.tools() if tool.name == params.name), None)
        try:
            if tool is None:
                return await self._not_a_tool(params.name, requester)
            problems = check(Shape(schema={**tool.input_schema, "additionalProperties": False}, root={}), arguments)
            if problems:
                return _failed("; ".join(f"{problem}" for problem in problems))
            if tool.name == pair.EXECUTE and ("code" in arguments) == ("resume" in arguments):
                return _failed("code: is required, or resume with the execution_id of a paused program, not both")
            if tool.name == pair.SEARCH:
                return await self._search(context, arguments, requester)
            if params.request_state is not None:
                return await self._answered(context, params, requester)
            return await self._execute(context, arguments, requester)
        except BadRequestError as error:
            return _failed(str(error))

    async def _search(self, context: _Context, arguments: dict[str, Any], requester: Requester) -> _Answer:
        if "code" in arguments:
            run = {"code": arguments["code"], "language": arguments.get("language"), "profile": CATALOG_PROFILE}
            return await self._execute(context, run, requester)
        language = arguments.get("language", "javascript")
        if names := arguments.get("describe"):
            if names == [how_to.NAME]:
                return _text(how_to.TEXT, structured={})
            described = await self._face.describe(names, language, requester)
            return _text(describe_text(described), structured=_describe_structure(described))
        if "query" not in arguments and not arguments.get("cursor"):
            return _failed('query: is required, unless describe or code is given. An empty query ("") lists all tools.')
        limit = int(arguments.get("limit", DEFAULT_LIMIT))
        query, cursor = arguments.get("query", ""), arguments.get("cursor")
        reply = await self._face.search(query, limit, cursor, language, requester)
        detail = arguments.get("detail", "signatures")
        text, structure = search_text(reply, names_only=detail == "names"), _search_structure(reply)
        if detail == "names":
            structure["tools"] = [hit.name for hit in reply.tools]
        if detail == "full" and reply.tools:
            described = await self._face.describe([hit.name for hit in reply.tools], language, requester)
            text = f"{search_text(reply, names_only=True)}\n\n{describe_text(described)}"
            structure |= _describe_structure(described)
        return _text(text, structured=structure)

    async def _execute(self, context: _Context, arguments: dict[str, Any], requester: Requester) -> _Answer:
        async def on_log(line: PortalLog) -> None:
            await _send_log(context, line)

        if "resume" in arguments:
            reply = await self._face.resume(arguments["resume"], requester)
            return _asked_or_told(context, reply)
        async with _progress(context) as progress:
            reply = await self._face.execute(
                arguments["code"],
                arguments.get("language"),
                arguments.get("inputs"),
                arguments.get("profile"),
                on_log,
                progress.called,
                requester,
            )
        return _asked_or_told(context, reply)

    async def _answered(
        self, context: _Context, params: mcp_types.CallToolRequestParams, requester: Requester
    ) -> _Answer:
        """The request sent again with what the person said: its state is the id of the program that waits for it."""
        responses = params.input_responses or {}
        reply = await self._face.resume(params.request_state or "", replace(requester, ask=ask_from(responses)))
        return _asked_or_told(context, reply, responses)

    async def _not_a_tool(self, name: str, requester: Requester) -> _Answer:
        """A tool of the catalog called like a tool of MCP: how to call it instead."""
        wanted = name.removeprefix("codemode.").replace("__", ".")
        found = await self._face.search(wanted, 1, None, "javascript", requester)
        hit = found.tools[0] if found.tools else None
        if hit is None:
            return _failed(f'There is no tool "{name[:100]}". There are search and execute.')
        exact = wanted.replace("_", ".").lower() in (hit.name.lower(), hit.name.replace("_", ".").lower())
        unknown = f'There is no tool "{name[:100]}"; the nearest is {hit.name}'
        said = f"{hit.name} is called inside a program" if exact else unknown
        return _failed(f"{said}. Call execute with code like:\nreturn await {hit.signature.split('): Promise<')[0]});")

    def _requester(self, context: _Context) -> Requester:
        client = context.session.client_params
        called = client.client_info.name if client is not None and client.client_info is not None else ""
        principal, session = self._requester_of(context.request), self._session(context.request)
        return Requester(principal=principal, client=called[:100], session=session, ask=ask_of(context))

    def _session(self, request: Any) -> str:
        """What is the same for all requests of one client: the process over stdio, otherwise the session's header."""
        if request is None:
            return self._own_session
        given = request.headers.get("mcp-session-id", "")
        return f"mcp_{given}" if 0 < len(given) <= _MOST_SESSION else ""


class _Progress:
    """What a client that asked for progress hears: each host call that begins and ends, and that it still runs.

    `progress` counts what was told, because the protocol wants it to rise each time; how much is to come nobody knows.
    """

    def __init__(self, context: _Context) -> None:
        self._context = context
        self._told = 0
        self._began = self._last = time.monotonic()

    async def called(self, note: CallNote) -> None:
        """A host call began, is under way, or ended."""
        await self._tell(f"call {note.number} {note.target}: {note.outcome or note.progress or 'begun'}")

    async def beat(self) -> None:
        """Say now and then that the program still runs, until cancelled."""
        while True:
            await asyncio.sleep(max(0.0, self._last + BEAT_S - time.monotonic()))
            if time.monotonic() >= self._last + BEAT_S:
                await self._tell(f"running for {time.monotonic() - self._began:.0f} s")

    async def _tell(self, message: str) -> None:
        self._told += 1
        self._last = time.monotonic()
        await self._context.session.report_progress(self._told, None, message)


@contextlib.asynccontextmanager
async def _progress(context: _Context) -> AsyncIterator[_Progress]:
    progress = _Progress(context)
    beating = asyncio.create_task(progress.beat())
    try:
        yield progress
    finally:
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)


def _only_page(params: mcp_types.PaginatedRequestParams | None) -> None:
    """What there is to list fits one page, so no cursor was ever given out."""
    if params is not None and params.cursor is not None:
        raise MCPError(mcp_types.INVALID_PARAMS, "this is not a cursor of this list: it has one page")


async def _send_log(context: _Context, line: PortalLog) -> None:
    """A log notification on the stream of the request, where the client wants one of that level."""
    level: Any = line.level if line.level in _LEVELS else "info"
    if level not in allowed_log_levels(context.protocol_version, context.meta):
        return
    least = context.session._connection.state.get("log_level", "debug")  # noqa: SLF001 - as above
    if _LEVELS.index(level) < _LEVELS.index(least):
        return
    params = mcp_types.LoggingMessageNotificationParams(level=level, logger="program", data=line.text)
    notification = mcp_types.LoggingMessageNotification(params=params)
    await context.session.send_notification(notification, related_request_id=context.request_id)


def _asked_or_told(context: _Context, reply: ExecuteReply, answered: Collection[str] = ()) -> _Answer:
    """What became of a program; of a paused one the questions to the person, where they go as an answer."""
    asked = None
    if asks_in_answers(context) and offers_forms(context):
        asked = input_required(reply, answered)
    return asked or _execute_answer(reply)


def _execute_answer(reply: ExecuteReply) -> mcp_types.CallToolResult:
    failed = reply.status not in {"succeeded", "paused", "running", "queued"}
    answer = _text(execute_text(reply), structured=_execute_structure(reply), is_error=failed)
    answer.content.extend(file_block(file, reply.execution_id) for file in reply.files)
    return answer


def _search_structure(reply: SearchReply) -> dict[str, Any]:
    return {
        "tools": [asdict(hit) for hit in reply.tools],
        "total": reply.total,
        "unmatched": list(reply.unmatched),
        "cursor": reply.cursor,
    }


def _describe_structure(reply: DescribeReply) -> dict[str, Any]:
    return {"unknown": list(reply.unknown), "left_out": list(reply.left_out)}


def _execute_structure(reply: ExecuteReply) -> dict[str, Any]:
    structure: dict[str, Any] = {"execution_id": reply.execution_id, "status": reply.status}
    if reply.status == "succeeded":
        structure["result"] = reply.result
    elif reply.error is not None:
        structure["error"] = {key: value for key, value in asdict(reply.error).items() if value}
    if reply.left_out is not None:
        structure["left_out"] = asdict(reply.left_out)
    if reply.files:
        structure["files"] = [{"name": file.name, "type": file.type, "sha256": file.sha256} for file in reply.files]
    if reply.waiting:
        structure["waiting"] = [asdict(each) for each in reply.waiting]
    if reply.calls:
        structure["calls"] = [asdict(call) for call in reply.calls]
    return structure


def _text(text: str, *, structured: dict[str, Any] | None = None, is_error: bool = False) -> mcp_types.CallToolResult:
    return mcp_types.CallToolResult(
        content=[mcp_types.TextContent(text=text.encode("utf-8", "replace").decode())],
        structured_content=_sound(structured),
        is_error=is_error,
    )


def _sound(structured: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same without halves of surrogate pairs, which JSON-RPC cannot carry."""
    if structured is None:
        return None
    sound: dict[str, Any] = json.loads(json.dumps(structured, ensure_ascii=False).encode("utf-8", "replace"))
    return sound


def _failed(text: str) -> mcp_types.CallToolResult:
    return _text(text, is_error=True)
