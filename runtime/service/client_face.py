"""The MCP server's functions over the gRPC API: over stdio from another process, over HTTP from the gateway itself."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import grpc

from runtime.client import Client, Context, Language, execute_request
from runtime.portal.face import (
    CATALOG_PROFILE,
    BadRequestError,
    CallFailure,
    CallLine,
    CallNote,
    DescribeReply,
    ExecuteReply,
    LeftOut,
    OnCall,
    OnLog,
    Overview,
    PortalFile,
    PortalLog,
    ProgramError,
    Requester,
    SearchReply,
    ToolHit,
)
from runtime.portal.reply_text import last_lines
from runtime.rpc import runtime_pb2 as pb
from runtime.service.client_questions import asked, waiting_of
from sandboxes.bounded_json import MOST_ANSWER_VALUES, JsonBoundError, loads
from sandboxes.portal import Portal

_LEVELS = {1: "debug", 2: "info", 3: "warning", 4: "error"}
_LANGUAGES = {"javascript", "typescript", "python"}
LIFETIME_S = 2 * 86_400.0
"""How long an MCP client's program may take, approvals included."""
RESUME_S = 20.0
_LOOK_S = 0.1
_REFUSALS = {
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
}


class ClientFace:
    """PortalFace over a Client. MCP requests name no context, so the operator's defaults stand in for it."""

    def __init__(  # noqa: PLR0913 - what stands in for a request's own words
        self,
        client: Client,
        *,
        profile: str,
        environment: str,
        owner: str,
        read_only: bool = False,
        portal: Portal | None = None,
    ) -> None:
        self._client = client
        self._portal = portal or Portal()
        self._profile = profile
        self._environment = environment
        self._owner = owner
        self._read_only = read_only

    async def search(self, query: str, limit: int, cursor: str | None, language: str, _: Requester) -> SearchReply:
        """Ranked tools. Raises BadRequestError."""
        try:
            reply = await self._client.search(
                query,
                limit=limit,
                cursor=cursor or "",
                language=cast("Language", language),
                read_only=self._read_only,
                profile=self._profile,
                environment=self._environment,
            )
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from None
        return SearchReply(
            tools=tuple(
                ToolHit(
                    name=tool.name,
                    signature=tool.signature,
                    purpose=tool.purpose,
                    upstream=tool.upstream,
                    read_only=tool.read_only,
                    deprecated=tool.deprecated,
                    approval=tool.approval,
                )
                for tool in reply.tools
            ),
            total=reply.catalog_size,
            unmatched=tuple(reply.unmatched_terms),
            cursor=reply.next_cursor or None,
            unavailable=tuple(f"{up.name} is {up.state}: {up.reason}".rstrip(": ") for up in reply.upstreams),
        )

    async def describe(self, names: Sequence[str], language: str, _: Requester) -> DescribeReply:
        """Declarations of tools and types. Raises BadRequestError."""
        try:
            reply = await self._client.describe(names, cast("Language", language), read_only=self._read_only)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from None
        unknown = (
            f"{tool.name} (nearest: {', '.join(tool.nearest)})" if tool.nearest else tool.name for tool in reply.unknown
        )
        return DescribeReply(text=reply.declarations, left_out=tuple(reply.left_out), unknown=tuple(unknown))

    async def overview(self) -> Overview:
        """What a model is told of the catalog before it asks: nothing, where the service cannot say."""
        try:
            reply = await self._client.overview(
                read_only=self._read_only, profile=self._profile, environment=self._environment
            )
        except grpc.aio.AioRpcError:
            return Overview()
        approvals = tuple((each.name, each.approval) for each in reply.approvals)
        return Overview(text=reply.declarations, complete=reply.complete, approvals=approvals)

    async def execute(  # noqa: PLR0913, PLR0917 - a request
        self,
        code: str,
        language: str | None,
        inputs: Any,
        profile: str | None,
        on_log: OnLog,
        on_call: OnCall,
        requester: Requester,
    ) -> ExecuteReply:
        """Run a program to its end; closing the stream cancels it. Raises BadRequestError."""
        context = Context(
            actor=f"mcp:{requester.client or 'unknown'}",
            owner=self._owner,
            environment=self._environment,
            reason="an MCP client called execute",
            # A person may take a day to decide.
            expires_in_s=LIFETIME_S,
        )
        execution_id = ""
        request = execute_request(
            code,
            profile=profile or self._profile,
            context=context,
            language=cast("Language", language if language in _LANGUAGES else ""),
            inputs=inputs,
            inline_bytes=self._portal.result_bytes,
            session_id=requester.session,
            read_only=self._read_only,
            catalog_profile=self._profile if profile == CATALOG_PROFILE else "",
        )
        files: list[PortalFile] = []
        logs: list[PortalLog] = []
        try:
            async for event in self._client.stream(request):
                if event.HasField("accepted"):
                    execution_id = event.accepted.execution_id
                elif event.HasField("paused"):
                    if not await asked(self._client, event.paused.approvals, requester):
                        paused = await self._client.execution(execution_id)
                        return await self._paused(paused, logs, files)
                elif event.HasField("log"):
                    line = PortalLog(
                        number=event.log.number, level=_LEVELS.get(event.log.level, "info"), text=event.log.text
                    )
                    logs.append(line)
                    await on_log(line)
                elif event.HasField("file"):
                    file = event.file
                    files.append(PortalFile(name=file.name, type=file.type, data=file.data, sha256=file.sha256))
                elif (note := _note(event)) is not None:
                    await on_call(note)
                elif event.HasField("finished"):
                    return _reply(event.finished, logs, files, self._portal)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from None
        raise BadRequestError("the stream ended before the execution did; whether it finished is not known")

    async def resume(self, execution_id: str, requester: Requester) -> ExecuteReply:
        """What has become of a program that was paused; waits a while for its end. Raises BadRequestError."""
        until = time.monotonic() + RESUME_S
        try:
            while True:
                execution = await self._client.execution(execution_id)
                if execution.context.owner != self._owner:
                    raise BadRequestError(f'there is no execution "{execution_id[:100]}"')
                if execution.HasField("ended_at"):
                    return _reply(execution, _logs(execution), _files(execution), self._portal)
                paused = execution.status == pb.STATUS_PAUSED
                if paused and not await asked(self._client, execution.pending_approvals, requester):
                    return await self._paused(execution, _logs(execution), _files(execution))
                if time.monotonic() > until:
                    return await self._paused(execution, _logs(execution), _files(execution))
                await asyncio.sleep(_LOOK_S)
        except grpc.aio.AioRpcError as error:
            raise _refused(error) from None

    async def _paused(self, execution: pb.Execution, logs: list[PortalLog], files: list[PortalFile]) -> ExecuteReply:
        waiting = [await self._client.approvals.get(each.approval_id) for each in execution.pending_approvals]
        reply = _reply(execution, logs, files, self._portal)
        return replace(reply, waiting=tuple(waiting_of(each) for each in waiting))


def _logs(execution: pb.Execution) -> list[PortalLog]:
    return [
        PortalLog(number=line.number, level=_LEVELS.get(line.level, "info"), text=line.text) for line in execution.logs
    ]


def _files(execution: pb.Execution) -> list[PortalFile]:
    return [PortalFile(name=file.name, type=file.type, data=file.data, sha256=file.sha256) for file in execution.files]


def _note(event: pb.ExecuteEvent) -> CallNote | None:
    """What an event says of a host call."""
    if event.HasField("call_started"):
        return CallNote(number=event.call_started.number, target=event.call_started.target)
    if event.HasField("call_progress"):
        far = event.call_progress
        return CallNote(number=far.number, target=far.target, progress=_progress(far))
    if event.HasField("call_ended"):
        ended = event.call_ended
        return CallNote(number=ended.number, target=ended.target, outcome=ended.outcome)
    return None


def _progress(told: pb.CallProgress) -> str:
    far = f"{told.progress:g} of {told.total:g}" if told.total else f"{told.progress:g}"
    return f"{far}: {told.message}" if told.message else far


def _value(result_json: str) -> Any:
    """The program's value; the JSON as text where it has more values than are decoded here."""
    try:
        return loads(result_json, most_values=MOST_ANSWER_VALUES) if result_json else None
    except JsonBoundError:
        return result_json


def _reply(execution: pb.Execution, logs: list[PortalLog], files: list[PortalFile], portal: Portal) -> ExecuteReply:
    error = execution.error
    shown = last_lines(logs, portal.log_lines, portal.log_characters)
    return ExecuteReply(
        execution_id=execution.id,
        status=pb.Status.Name(execution.status).removeprefix("STATUS_").lower(),
        result=_value(execution.result_json),
        error=ProgramError(
            name=error.name,
            message=error.message,
            line=error.line,
            column=error.column,
            source_line=error.source_line,
            stack=error.stack,
            limit=error.limit,
            limit_value=error.limit_value,
            call=_failed_call(error),
        )
        if execution.HasField("error")
        else None,
        logs=shown,
        logs_dropped=len(logs) - len(shown),
        calls=tuple(
            CallLine(target=call.target, outcome=call.outcome, read_only=call.read_only)
            for call in execution.host_calls
        ),
        files=tuple(files),
        left_out=_left_out(execution),
    )


def _failed_call(error: pb.ExecutionError) -> CallFailure | None:
    if not error.HasField("call"):
        return None
    call = error.call
    return CallFailure(
        code=call.code,
        tool=call.tool,
        http_status=call.http_status,
        retryable=call.retryable,
        retry_after_s=call.retry_after_s,
    )


def _left_out(execution: pb.Execution) -> LeftOut | None:
    if not execution.HasField("result_cut"):
        return None
    cut = execution.result_cut
    places = tuple(
        f"{each.path or 'the result'} shows {each.shown} of {each.shown + each.left_out} {each.kind}"
        for each in cut.omitted
    )
    return LeftOut(handle=cut.handle, total_bytes=cut.total_bytes, places=places)


def _refused(error: grpc.aio.AioRpcError) -> BadRequestError | grpc.aio.AioRpcError:
    return BadRequestError(error.details() or "refused") if error.code() in _REFUSALS else error
