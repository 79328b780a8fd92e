"""Executions as messages of the API, and the API's enums as the words used inside."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from google.protobuf.timestamp_pb2 import Timestamp

from runtime.execution.caller import Caller
from runtime.execution.cut import MOST_OMISSIONS, Omission
from runtime.execution.execution import Execution, Failure, HostCallRecord, Program, ResultCut
from runtime.execution.file import File
from runtime.execution.language import Language
from runtime.isolate import LogLine
from runtime.rpc import runtime_pb2 as pb
from sandboxes.identity import Same
from sandboxes.limits import Limits, LimitSource
from sandboxes.profile import Profile

LANGUAGES: dict[int, Language] = {
    pb.LANGUAGE_JAVASCRIPT: "javascript",
    pb.LANGUAGE_PYTHON: "python",
    pb.LANGUAGE_TYPESCRIPT: "typescript",
}
LANGUAGE_NUMBERS: dict[str, int] = {word: number for number, word in LANGUAGES.items()}
ENVIRONMENTS: dict[int, str] = {
    pb.ENVIRONMENT_DEV: "dev",
    pb.ENVIRONMENT_STAGE: "stage",
    pb.ENVIRONMENT_PROD: "prod",
}
ENVIRONMENT_NUMBERS = {word: number for number, word in ENVIRONMENTS.items()}
_MOST_PATH = 1_000
STATUSES: dict[str, int] = {
    name.removeprefix("STATUS_").lower(): number for name, number in pb.Status.items() if number
}


def execution_message(
    execution: Execution, *, logs: bool = True, calls: bool = True, files: bool = True
) -> pb.Execution:
    """All that is known of an execution now."""
    program = execution.program
    message = pb.Execution()
    message.ParseFromString(_constant_part(program, execution.image_digest))
    message.id = execution.id
    message.status = STATUSES[execution.status]  # type: ignore[assignment]
    message.language = LANGUAGE_NUMBERS[program.language]  # type: ignore[assignment]
    message.result_json = execution.result
    message.intake = program.intake
    message.parser_digest = execution.parser_digest
    message.outcome_unknown = execution.outcome_unknown
    message.attempts = execution.attempts
    message.kept_session = program.kept_session
    message.session_position = execution.position
    if execution.failure is not None:
        message.error.CopyFrom(error_message(execution.failure))
    if logs:
        message.logs.extend([log_message(line) for line in execution.logs])
    if files:
        message.files.extend([file_message(file) for file in execution.files])
    if execution.cut is not None:
        message.result_cut.CopyFrom(cut_message(execution.cut))
    if calls:
        message.host_calls.extend([call_message(call, execution) for call in execution.calls])
    for name, reason in execution.missing_walls.items():
        message.missing_walls.add(name=name, reason=reason)
    _fill_usage(message, execution)
    _fill_context(message.context, program.caller)
    message.created_at.FromNanoseconds(execution.created_ns)
    if execution.ended_ns:
        message.ended_at.FromNanoseconds(execution.ended_ns)
    return message


def _constant_part(program: Program, image_digest: str) -> bytes:
    """What many executions share, encoded once: building the limits anew cost more than the rest of a reply."""
    profile = program.profile
    if program.limits is profile.limits:
        return _usual_part(Same(profile), image_digest, Same(program.limit_sources))
    sources = tuple(program.limit_sources.items())
    return _narrowed_part(profile.name, profile.digest(), image_digest, program.limits, sources)


@lru_cache(maxsize=256)
def _usual_part(profile: Same[Profile], image_digest: str, sources: Same[Mapping[str, LimitSource]]) -> bytes:
    of = profile.of
    return _encoded(of.name, of.digest(), image_digest, of.limits, sources.of)


@lru_cache(maxsize=256)
def _narrowed_part(
    profile: str, profile_digest: str, image_digest: str, limits: Limits, sources: tuple[tuple[str, LimitSource], ...]
) -> bytes:
    return _encoded(profile, profile_digest, image_digest, limits, dict(sources))


def _encoded(
    profile: str, profile_digest: str, image_digest: str, limits: Limits, sources: Mapping[str, LimitSource]
) -> bytes:
    return pb.Execution(
        profile=profile,
        profile_digest=profile_digest,
        image_digest=image_digest,
        limits={name: pb.EffectiveLimit(value=getattr(limits, name), source=by) for name, by in sources.items()},
    ).SerializeToString()


def _fill_usage(message: pb.Execution, execution: Execution) -> None:
    timings = message.timings
    if execution.started:
        timings.queued_us = int((execution.started - execution.created) * 1e6)
    usage = execution.usage
    if usage is None:
        return
    timings.startup_us = usage.startup_ns // 1000
    timings.run_us = (usage.wall_ns - usage.startup_ns) // 1000
    used = message.usage
    used.cpu_us = usage.cpu_ns // 1000
    used.active_us = usage.active_ns // 1000
    used.wall_us = usage.wall_ns // 1000
    used.peak_memory_bytes = usage.memory_bytes
    used.peak_memory_exact = usage.memory_exact
    used.host_calls = len(execution.calls)
    used.log_lines = usage.log_lines
    used.fuel = usage.fuel
    used.bytes_out = sum(call.bytes_out for call in execution.calls)
    used.bytes_in = sum(call.bytes_in for call in execution.calls)


def _fill_context(context: pb.Context, caller: Caller) -> None:
    context.actor = caller.actor
    context.owner = caller.owner
    context.environment = ENVIRONMENT_NUMBERS[caller.environment]  # type: ignore[assignment]
    context.reason = caller.reason
    context.expires_at.FromNanoseconds(int(caller.expires_at * 1e9))


def error_message(failure: Failure) -> pb.ExecutionError:
    """Why an execution did not succeed."""
    message = pb.ExecutionError(
        **{name: getattr(failure, name) for name in Failure.__dataclass_fields__ if name != "call"}
    )
    if (call := failure.call) is not None:
        message.call.CopyFrom(
            pb.CallFailure(
                code=call.code,
                tool=call.tool,
                http_status=call.http_status,
                retryable=call.retryable,
                retry_after_s=call.retry_after_s,
                details_json=call.details,
            )
        )
    return message


def log_message(line: LogLine) -> pb.LogLine:
    """One log line."""
    return pb.LogLine(number=line.number, level=line.level, time_unix_ns=line.time_ns, text=line.text)  # type: ignore[arg-type]


def file_message(file: File) -> pb.File:
    """One file a program gave."""
    return pb.File(number=file.number, name=file.name, type=file.type, data=file.data, sha256=file.sha256)


def omission_messages(omissions: Sequence[Omission]) -> list[pb.Omission]:
    """What was left out, as many places as are told."""
    return [
        pb.Omission(path=each.path[:_MOST_PATH], kind=each.kind, shown=each.shown, left_out=each.left_out)
        for each in omissions[:MOST_OMISSIONS]
    ]


def cut_message(cut: ResultCut) -> pb.ResultCut:
    """What was left out of a result."""
    message = pb.ResultCut(
        handle=cut.handle,
        total_bytes=cut.total_bytes,
        omitted=omission_messages(cut.omissions),
        more_omitted=max(0, len(cut.omissions) - MOST_OMISSIONS),
    )
    message.expires_at.FromNanoseconds(int(cut.expires_at * 1e9))
    return message


def call_message(call: HostCallRecord, execution: Execution) -> pb.HostCall:
    """One host call, ended or not."""
    return pb.HostCall(
        number=call.number,
        kind=call.kind,
        target=call.target,
        outcome=call.outcome,
        http_status=call.http_status,
        started_us=int(max(0.0, call.started - (execution.began or execution.started)) * 1e6),
        duration_us=int((call.ended - call.started) * 1e6) if call.ended else 0,
        bytes_out=call.bytes_out,
        bytes_in=call.bytes_in,
        egress=call.egress,
        credential=call.credential,
        read_only=call.read_only,
        approval_id=call.approval,
        edits=call.edits,
    )


def seconds(timestamp: Timestamp) -> float:
    """Unix seconds."""
    return timestamp.seconds + timestamp.nanos / 1e9
