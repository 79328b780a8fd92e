"""Replies in words, for a model to read."""

import json
from collections.abc import Sequence
from typing import Final

from runtime.portal.face import (
    CallFailure,
    CallLine,
    DescribeReply,
    ExecuteReply,
    LeftOut,
    PortalFile,
    PortalLog,
    ProgramError,
    SearchReply,
)

_MAX_SOURCE: Final = 160
_MAX_CALLS: Final = 12
_MAX_PLACES: Final = 8
_MAX_NAMES: Final = 20
_APPROVALS: Final = {
    "ask": " [needs approval]",
    "may ask": " [may need approval]",
    "may deny": " [may be refused]",
    "deny": " [not allowed]",
}


def search_text(reply: SearchReply, *, names_only: bool = False) -> str:
    """One tool per two lines, or per line where names are enough, best first; and what the words did not find."""
    lines: list[str] = []
    for hit in reply.tools:
        marks = (" [reads]" if hit.read_only else " [writes]") + (" [deprecated]" if hit.deprecated else "")
        marks += approval_mark(hit.approval)
        lines += [hit.name + marks] if names_only else [hit.signature, f"  {hit.purpose}{marks}"]
    if not reply.tools:
        lines.append("No tool found. Try other words, or an empty query for all.")
    if reply.unmatched:
        lines.append(f"No tool has: {', '.join(reply.unmatched)}")
    if reply.cursor is not None:
        lines.append(f'{reply.total} in all; more with cursor "{reply.cursor}"')
    lines += [f"Upstream {each}" for each in reply.unavailable]
    return "\n".join(lines)


def approval_mark(approval: str) -> str:
    """What is written beside a tool of which a profile says so; nothing where every call may leave at once."""
    return _APPROVALS.get(approval, "")


def approval_lines(approvals: Sequence[tuple[str, str]]) -> list[str]:
    """Names of tools by what a profile says of them, a line for each kind of word."""
    lines = []
    for approval, mark in _APPROVALS.items():
        names = [name for name, said in approvals if said == approval]
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        lines += [f"{mark.strip()}: {', '.join(names[:_MAX_NAMES])}{more}"] if names else []
    return lines


def describe_text(reply: DescribeReply) -> str:
    """The declarations, and names that mean nothing."""
    unknown = [f"There is no tool or type {each}" for each in reply.unknown]
    return "\n\n".join([*([reply.text] if reply.text else []), *unknown])


def paused_text(reply: ExecuteReply) -> str:
    """What a program waits for, and how its result is had later."""
    told = [f"- {each.target}: {each.words} ({each.approval_id}, until {each.expires_at})" for each in reply.waiting]
    how = f'Call execute with {{"resume": "{reply.execution_id}"}} for its result then; do not run it again.'
    if not told:
        return f"The program is {reply.status}. {how}"
    return "\n".join(["Paused: a person has to approve first; it then goes on by itself.", *told, how])


def execute_text(reply: ExecuteReply) -> str:
    """The result or the error, then the log; after a failure also what had been done."""
    if reply.status in {"paused", "running", "queued"}:
        parts = [paused_text(reply)]
    elif reply.error is None and reply.status == "succeeded":
        parts = [json.dumps(reply.result, ensure_ascii=False, separators=(",", ":")), left_out_text(reply.left_out)]
    else:
        parts = [error_text(reply.status, reply.error), calls_text(reply.calls)]
    return "\n\n".join(
        part for part in [*parts, files_text(reply.files), logs_text(reply.logs, reply.logs_dropped)] if part
    )


def error_text(status: str, error: ProgramError | None) -> str:
    """What went wrong, and the line with a caret under the place."""
    if error is None:
        return f"The program did not finish: {status}"
    where = f" (line {error.line}, column {error.column})" if error.line and error.column else ""
    where = where or (f" (line {error.line})" if error.line else "")
    lines = [f"{error.name}: {error.message}{where}" if error.name else f"{error.message}{where}"]
    if error.source_line and error.line:
        lines += _caret(error)
    if error.call is not None:
        lines.append(_call_text(error.call))
    if error.limit:
        lines.append(f"Limit {error.limit} = {error.limit_value}")
    return "\n".join(lines)


def left_out_text(left_out: LeftOut | None) -> str:
    """What of a result is not shown, and where the whole is."""
    if left_out is None:
        return ""
    some = "; ".join(left_out.places[:_MAX_PLACES])
    more = f"; and {len(left_out.places) - _MAX_PLACES} more places" if len(left_out.places) > _MAX_PLACES else ""
    told = f"Cut from {left_out.total_bytes} bytes: {some}{more}."
    if not left_out.handle:
        return f"{told} The whole is not kept; return less, or emit it as a file."
    return f'{told} The whole is there for the next program: await results["{left_out.handle}"]'


def files_text(files: Sequence[PortalFile]) -> str:
    """What files there are; their bytes come beside the text."""
    lines = [f"{file.name} ({file.type}, {len(file.data)} bytes, SHA-256 {file.sha256})" for file in files]
    return "\n".join(["Files:", *lines]) if lines else ""


def calls_text(calls: Sequence[CallLine]) -> str:
    """Which calls a program that failed had made: they are not undone."""
    if not calls:
        return "It had made no calls."
    writes = [call for call in calls if not call.read_only]
    shown = ", ".join(f"{call.target} {call.outcome}" for call in (writes or calls)[:_MAX_CALLS])
    more = len(writes or calls) - _MAX_CALLS
    kinds = "calls, all of which only read" if not writes else "calls that may have changed something"
    return f"It had made {kinds}: {shown}{f' and {more} more' if more > 0 else ''}"


def last_lines(logs: Sequence[PortalLog], most: int, characters: int) -> tuple[PortalLog, ...]:
    """The end of the log: at most so many lines, and characters with the line ends."""
    kept: list[PortalLog] = []
    for line in reversed(logs[-most:] if most else ()):
        characters -= len(_log_line(line)) + 1
        if characters < 0:
            break
        kept.append(line)
    return tuple(reversed(kept))


def logs_text(logs: Sequence[PortalLog], dropped: int) -> str:
    """The log, and how many lines before are not shown."""
    head = f"Log ({dropped} lines not shown):" if dropped else "Log:"
    return "\n".join([head, *map(_log_line, logs)]) if logs or dropped else ""


def _log_line(line: PortalLog) -> str:
    return line.text if line.level == "info" else f"{line.level}: {line.text}"


def _call_text(call: CallFailure) -> str:
    status = f", HTTP status {call.http_status}" if call.http_status else ""
    again = "the same call may succeed later" if call.retryable else "the same call will fail again"
    after = f", in {call.retry_after_s:g} seconds" if call.retryable and call.retry_after_s else ""
    return f"The call failed with code {call.code}{status}; {again}{after}."


def _caret(error: ProgramError) -> list[str]:
    """The source line, cut around the column, and a caret."""
    source = error.source_line.replace("\t", " ").rstrip()
    start = max(0, error.column - 1 - _MAX_SOURCE // 2) if len(source) > _MAX_SOURCE else 0
    margin = f"{error.line:>5} | "
    lines = [margin + source[start : start + _MAX_SOURCE]]
    if 0 < error.column <= len(source) + 1:
        lines.append(" " * (len(margin) - 2) + "| " + " " * (error.column - 1 - start) + "^")
    return lines
