"""The Runtime service over one Executor."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from itertools import islice

import grpc

from runtime.execution.bounds import QueueFullError
from runtime.execution.execution import CallEnded, CallProgress, CallStarted, Execution, Happening, Program
from runtime.execution.executor import Executor
from runtime.execution.file import File
from runtime.rpc import runtime_pb2 as pb
from runtime.service.convert import (
    LANGUAGE_NUMBERS,
    STATUSES,
    call_message,
    execution_message,
    file_message,
    log_message,
)
from runtime.service.errors import ApiError, bad_fields, queue_full, store_failed
from runtime.service.governed_reply import GovernedReply
from runtime.service.handlers import ServicerContext
from runtime.service.kept_result import kept_result
from runtime.service.kept_sessions import as_api_errors, close_session, fork_session, list_sessions
from runtime.service.readiness import Readiness
from runtime.service.replayed import MOST_CODE, replayed
from runtime.service.requests import MOST_REASON, caller_of, program_of
from runtime.service.session import EventStream, Sessions
from runtime.store.errors import StoreError
from sandboxes.canonical_json import canonical_json
from sandboxes.profile import Profile

MOST_PAGE = 500
DEFAULT_PAGE = 50


class RuntimeServicer:
    """Methods take (request, principal, context) and are named as in the proto."""

    def __init__(
        self,
        executor: Executor,
        profiles: Mapping[str, Profile],
        readiness: Readiness,
        sessions: Sessions | None = None,
        governed: GovernedReply | None = None,
    ) -> None:
        self._governed = governed
        self._executor = executor
        self._sessions = sessions or Sessions()
        self.profiles = profiles
        self._readiness = readiness

    async def Execute(  # noqa: N802, D102 - named and described in the proto
        self, request: pb.ExecuteRequest, principal: str, _: ServicerContext
    ) -> pb.ExecuteResponse:
        execution, _attached = await self._begin(request, principal)
        try:
            await execution.halted.wait()
            if self._governed is not None:
                await self._governed.over(execution)
        except asyncio.CancelledError:
            self._client_left(execution)
            raise
        return pb.ExecuteResponse(execution=await self._message(execution))

    async def _message(self, execution: Execution) -> pb.Execution:
        """All that is known of an execution."""
        message = execution_message(execution)
        if self._governed is not None:
            await self._governed.fill(message, execution)
        return message

    async def Rollback(  # noqa: N802, D102
        self, request: pb.RollbackRequest, principal: str, _: ServicerContext
    ) -> pb.RollbackResponse:
        caller = caller_of(request.context, principal)
        execution = await self._find(request.execution_id, principal)
        if self._governed is not None:
            await self._governed.undo(execution, caller)
        return pb.RollbackResponse(execution=await self._message(execution))

    async def ExecuteStream(  # noqa: N802, D102
        self, request: pb.ExecuteRequest, principal: str, _: ServicerContext
    ) -> AsyncIterator[pb.ExecuteEvent]:
        execution, attached = await self._begin(request, principal)
        async for event in self._followed(execution, attached=attached):
            yield event

    async def _followed(self, execution: Execution, *, attached: bool) -> EventStream:
        """All events of an execution, for a client; one that stops listening has left."""
        execution.watchers += 1
        try:
            yield pb.ExecuteEvent(accepted=pb.Accepted(execution_id=execution.id, attached=attached))
            async for event in _watch(execution):
                await self._fill(event, execution)
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self._client_left(execution)
            raise
        finally:
            execution.watchers -= 1
            self._executor.pauses.let_go(execution)

    async def _fill(self, event: pb.ExecuteEvent, execution: Execution) -> None:
        """What an event has beside what is known of it at once."""
        if self._governed is None:
            return
        if event.HasField("paused"):
            event.paused.approvals.extend(await self._governed.pending(execution))
        elif event.HasField("finished"):
            await self._governed.over(execution)
            await self._governed.fill(event.finished, execution)

    async def Session(  # noqa: N802, D102
        self, requests: AsyncIterator[pb.SessionRequest], principal: str, _: ServicerContext
    ) -> AsyncIterator[pb.SessionEvent]:
        async with self._sessions.open(requests, principal, self) as session:
            async for event in session.events():
                yield event

    async def begin_in(self, session: str, request: pb.ExecuteRequest, principal: str) -> tuple[str, EventStream]:
        """Begin a program of a session: its execution's id and its events. Raises ApiError."""
        execution, attached = await self._begin(request, principal, session)
        return execution.id, self._followed(execution, attached=attached)

    def cancel_in(self, execution_id: str, principal: str, reason: str) -> None:
        """End a program of a session."""
        if (execution := self._executor.registry.get(execution_id, principal)) is not None:
            self._executor.cancel(execution, reason)

    async def _begin(self, request: pb.ExecuteRequest, principal: str, session: str = "") -> tuple[Execution, bool]:
        program = program_of(request, principal, self.profiles, session)
        try:
            archive, key = self._executor.archive, program.idempotency_key
            if key and (earlier := await archive.by_key(principal, key)) is not None:
                _check_same(earlier.program, program)
                return earlier, True
            self._readiness.check(program.profile)
            if key or program.keeps_globals:
                with as_api_errors():
                    return await self._executor.accept(program), False
            return self._executor.submit(program), False
        except QueueFullError as error:
            raise queue_full(error) from None
        except StoreError as error:
            raise store_failed(error) from None

    def _client_left(self, execution: Execution) -> None:
        program, journal = execution.program, execution.journal
        # What a session's programs call is gone with its stream.
        accepted = journal is not None and journal.kept and not program.session
        if not (accepted or program.idempotency_key) and execution.state != "ended":
            self._executor.cancel(execution, "the client went away, or its deadline passed")

    async def GetExecution(  # noqa: N802, D102
        self, request: pb.GetExecutionRequest, principal: str, _: ServicerContext
    ) -> pb.GetExecutionResponse:
        return pb.GetExecutionResponse(execution=await self._message(await self._find(request.execution_id, principal)))

    async def _find(self, execution_id: str, principal: str) -> Execution:
        try:
            execution = await self._executor.archive.find(execution_id)
        except StoreError as error:
            raise store_failed(error) from None
        if execution is None or execution.program.caller.principal != principal:
            message = f'there is no execution "{execution_id[:100]}", or it ended long ago and is forgotten'
            raise ApiError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_EXECUTION", message)
        return execution

    async def GetResult(  # noqa: N802, D102
        self, request: pb.GetResultRequest, principal: str, _: ServicerContext
    ) -> pb.GetResultResponse:
        try:
            await self._executor.results.ready()
        except StoreError as error:
            raise store_failed(error) from None
        return kept_result(request, principal, self._executor.results)

    async def ListExecutions(  # noqa: N802, D102
        self, request: pb.ListExecutionsRequest, principal: str, _: ServicerContext
    ) -> pb.ListExecutionsResponse:
        size = request.page_size or DEFAULT_PAGE
        if not 1 <= size <= MOST_PAGE:
            raise bad_fields([("page_size", f"is {size}; 1 to {MOST_PAGE}")])
        page = list(islice(self._matching(request, principal), size + 1))
        messages = [execution_message(execution, logs=False, calls=False, files=False) for execution in page[:size]]
        token = page[size - 1].id if len(page) > size else ""
        return pb.ListExecutionsResponse(executions=messages, next_page_token=token)

    def _matching(self, request: pb.ListExecutionsRequest, principal: str) -> Iterator[Execution]:
        wanted = set(request.status)
        skipping = request.page_token
        for execution in self._executor.registry.newest_first(principal):
            # Ids sort by time, so a page still begins in the right place when its last entry is forgotten.
            if skipping and execution.id >= skipping:
                continue
            if wanted and STATUSES[execution.status] not in wanted:
                continue
            if request.actor and execution.program.caller.actor != request.actor:
                continue
            yield execution

    async def Cancel(  # noqa: N802, D102
        self, request: pb.CancelRequest, principal: str, _: ServicerContext
    ) -> pb.CancelResponse:
        if len(request.reason) > MOST_REASON:
            raise bad_fields([("reason", f"has {len(request.reason)} characters; at most {MOST_REASON}")])
        await self._find(request.execution_id, principal)
        execution = await self._executor.archive.take(request.execution_id)
        assert execution is not None
        self._executor.cancel(execution, f"cancelled: {request.reason}" if request.reason else "cancelled")
        await execution.ended.wait()
        return pb.CancelResponse(execution=execution_message(execution))

    async def Replay(  # noqa: N802, D102
        self, request: pb.ReplayRequest, principal: str, _: ServicerContext
    ) -> pb.ReplayResponse:
        await self._find(request.execution_id, principal)
        if request.until < 0:
            raise bad_fields([("until", f"is {request.until}; 0, or the number of a host call")])
        if len(request.code) > MOST_CODE:
            raise bad_fields([("code", f"has {len(request.code)} characters; at most {MOST_CODE}")])
        return await replayed(self._executor, request)

    async def ListSessions(  # noqa: N802, D102
        self, request: pb.ListSessionsRequest, principal: str, _: ServicerContext
    ) -> pb.ListSessionsResponse:
        return await list_sessions(self._executor.sessions, request, principal)

    async def CloseSession(  # noqa: N802, D102
        self, request: pb.CloseSessionRequest, principal: str, _: ServicerContext
    ) -> pb.CloseSessionResponse:
        return await close_session(self._executor.sessions, request, principal)

    async def ForkSession(  # noqa: N802, D102
        self, request: pb.ForkSessionRequest, principal: str, _: ServicerContext
    ) -> pb.ForkSessionResponse:
        return await fork_session(self._executor.sessions, request, principal)

    async def ListProfiles(  # noqa: N802, D102
        self, _request: pb.ListProfilesRequest, _principal: str, _: ServicerContext
    ) -> pb.ListProfilesResponse:
        summaries = [_summary(profile) for _, profile in sorted(self.profiles.items())]
        return pb.ListProfilesResponse(profiles=summaries)

    async def GetProfile(  # noqa: N802, D102
        self, request: pb.GetProfileRequest, _principal: str, _: ServicerContext
    ) -> pb.GetProfileResponse:
        profile = self.profiles.get(request.name)
        if profile is None:
            names = ", ".join(sorted(self.profiles))
            message = f'there is no profile "{request.name[:100]}"; there are {names}'
            raise ApiError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_PROFILE", message)
        document = profile.model_dump(mode="json", by_alias=True)
        return pb.GetProfileResponse(
            summary=_summary(profile),
            languages=[LANGUAGE_NUMBERS[word] for word in profile.languages if word in LANGUAGE_NUMBERS],  # type: ignore[misc]
            limits=profile.limits.model_dump(),
            ceilings=profile.ceilings.model_dump(),
            document_json=canonical_json(document).decode(),
        )

    async def GetHealth(  # noqa: N802, D102
        self, _request: pb.GetHealthRequest, _principal: str, _: ServicerContext
    ) -> pb.GetHealthResponse:
        return self._readiness.message()


async def _watch(execution: Execution) -> AsyncIterator[pb.ExecuteEvent]:
    """What has happened so far, then what happens, then the end."""
    told = 0
    while True:
        while told < len(execution.happenings):
            yield _event(execution.happenings[told], execution)
            told += 1
        if execution.state == "ended":
            yield pb.ExecuteEvent(finished=execution_message(execution, logs=False, files=False))
            return
        execution.changed.clear()
        await execution.changed.wait()


def _event(happening: Happening, execution: Execution) -> pb.ExecuteEvent:
    match happening:
        case CallStarted(call):
            return pb.ExecuteEvent(call_started=pb.HostCall(number=call.number, kind=call.kind, target=call.target))
        case CallProgress(call, progress, total, message):
            told = pb.CallProgress(
                number=call.number, target=call.target, progress=progress, total=total, message=message
            )
            return pb.ExecuteEvent(call_progress=told)
        case CallEnded(call):
            return pb.ExecuteEvent(call_ended=call_message(call, execution))
        case File():
            return pb.ExecuteEvent(file=file_message(happening))
        case "paused":
            return pb.ExecuteEvent(paused=pb.Paused())
        case "resumed":
            return pb.ExecuteEvent(resumed=pb.Resumed())
        case "started":
            queued = int((execution.started - execution.created) * 1e6)
            return pb.ExecuteEvent(started=pb.Started(queued_us=queued))
        case line:
            return pb.ExecuteEvent(log=log_message(line))


def _check_same(earlier: Program, now: Program) -> None:
    same = (
        earlier.code == now.code
        and earlier.language == now.language
        and earlier.inputs == now.inputs
        and earlier.profile.digest() == now.profile.digest()
        and earlier.limits == now.limits
        and earlier.read_only == now.read_only
        and (earlier.dry_run, earlier.on_failure) == (now.dry_run, now.on_failure)
    )
    if not same:
        raise ApiError(
            grpc.StatusCode.ALREADY_EXISTS,
            "IDEMPOTENCY_KEY_REUSED",
            "this idempotency key belongs to an execution of another program, inputs, profile or limits; use a new key",
        )


def _summary(profile: Profile) -> pb.ProfileSummary:
    return pb.ProfileSummary(
        name=profile.name, version=profile.version, description=profile.description, digest=profile.digest()
    )
