"""What went wrong, as the error object of the outcome: positions in the caller's source, the program's frames only."""

import json
import sys
import traceback
from types import TracebackType
from typing import Any

from lockgate.calls import ToolError
from lockgate.memory import OUT_OF_MEMORY, release_for_telling
from lockgate.program import FILE, PARSER_STACK
from lockgate.text import cut

_FILES = FILE[:-1]
_MAX_MESSAGE = 4_000
_MAX_STACK = 8_000
_MAX_SOURCE_LINE = 400
_FIRST_FRAMES, _LAST_FRAMES = 4, 8


class ResultTooLargeError(ValueError):
    """The result's JSON is above max_result_bytes."""


def error_json(error: BaseException, source: str, file: str = FILE) -> str:
    """The error object's JSON text; never raises."""
    try:
        return json.dumps(_describe(error, source, file), ensure_ascii=True)
    except MemoryError:
        release_for_telling()
        return OUT_OF_MEMORY
    except BaseException as second:  # noqa: BLE001 (a hostile __str__ must not break the protocol)
        return json.dumps(_error(type(error).__name__, f"(no message: {type(second).__name__} while telling it)"))


def _error(name: str, message: str) -> dict[str, Any]:
    empty = dict.fromkeys(("line", "column", "source_line", "limit", "call"))
    return {"name": cut(name, 200), "message": cut(message, _MAX_MESSAGE), "stack": "", **empty}


def _describe(error: BaseException, source: str, file: str) -> dict[str, Any]:
    name, message = _name(error), _message(error)
    described = _error(name, message)
    place = _syntax_place(error, file) or _place(error, source, file)
    if place is not None:
        described["line"], described["column"] = place
        described["source_line"] = _source_line(source, place[0])
    described["stack"] = cut(_stack(error, source, file), _MAX_STACK)
    described["limit"] = _limit(error)
    call = _failed_call(error)
    described["call"] = None if call is None else _jsonable(call.as_dict())
    return described


def _name(error: BaseException) -> str:
    return type(error).__name__


def _message(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and of_programs(error.filename):
        return str(error.msg)
    if isinstance(error, MemoryError):
        return str(error) or "the program used up its memory"
    if type(error) is KeyError and len(error.args) == 1:
        return f"key not found: {error.args[0]!r}"
    if isinstance(error, BaseExceptionGroup):
        parts = "; ".join(f"{_name(part)}: {part}" for part in error.exceptions[:5])
        return f"{error.message} ({len(error.exceptions)}): {parts}"
    return str(error)


def _limit(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return "stack" if PARSER_STACK in str(error) else "memory"
    if isinstance(error, RecursionError):
        return "stack"
    if isinstance(error, ResultTooLargeError):
        return "result"
    if isinstance(error, ToolError) and error.code == "limit" and isinstance(error.details, dict):
        return "call_bytes" if error.details.get("limit") == "call_bytes" else None
    return None


def _failed_call(error: BaseException) -> ToolError | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, ToolError) else None


def _jsonable(fields: dict[str, Any]) -> dict[str, Any]:
    try:
        json.dumps(fields)
    except (TypeError, ValueError, RecursionError):
        return {**fields, "details": None}
    return fields


# Places.


def of_programs(file: str | None) -> bool:
    """Whether code of such a file is a program's: this one, or an earlier one of its session."""
    return file is not None and file.startswith(_FILES)


def _frames(trace: TracebackType | None) -> list[tuple[TracebackType, int]]:
    """The programs' own frames, outermost first."""
    frames = []
    while trace is not None:
        if of_programs(trace.tb_frame.f_code.co_filename):
            frames.append((trace, trace.tb_lineno))
        trace = trace.tb_next
    return frames


def _syntax_place(error: BaseException, file: str) -> tuple[int, int] | None:
    if not isinstance(error, SyntaxError) or error.filename != file or error.lineno is None:
        return None
    return max(error.lineno, 1), max(error.offset or 1, 1)


def _place(error: BaseException, source: str, file: str) -> tuple[int, int] | None:
    """Where the running program stood; what it called of an earlier one has its place in the stack only."""
    frames = [each for each in _frames(error.__traceback__) if each[0].tb_frame.f_code.co_filename == file]
    if not frames:
        return None
    trace, line = frames[-1]
    column = _positions(trace)[2]
    return line, _characters(source, line, column or 0) + 1


def _positions(trace: TracebackType) -> tuple[int | None, int | None, int | None, int | None]:
    """Line, end line and columns (bytes, from 0) of the instruction a traceback stands at."""
    index = trace.tb_lasti // 2
    for number, positions in enumerate(trace.tb_frame.f_code.co_positions()):
        if number == index:
            return positions
    return (None, None, None, None)


def _characters(source: str, line: int, column: int) -> int:
    text = _raw_line(source, line)
    return len(text.encode(errors="replace")[:column].decode(errors="ignore"))


def _raw_line(source: str, line: int) -> str:
    lines = source.split("\n", line)
    return lines[line - 1].rstrip("\r") if 0 < line <= len(lines) else ""


def _source_line(source: str, line: int) -> str:
    return cut(_raw_line(source, line).rstrip(), _MAX_SOURCE_LINE)


# The stack.


def _stack(error: BaseException, source: str, file: str) -> str:
    """The traceback, causes first, with the programs' frames only."""
    parts: list[str] = []
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen and len(parts) < 8:  # noqa: PLR2004
        seen.add(id(current))
        parts.append(_one(current, source, file))
        if current.__cause__ is not None:
            parts.append("The above exception was the direct cause of the following exception:")
            current = current.__cause__
        elif current.__context__ is not None and not current.__suppress_context__:
            parts.append("During handling of the above exception, another exception occurred:")
            current = current.__context__
        else:
            break
    return "\n\n".join(reversed(parts))


def _one(error: BaseException, source: str, file: str) -> str:
    frames = _frames(error.__traceback__)
    lines = ["Traceback (most recent call last):"] if frames else []
    shown = frames
    if len(frames) > _FIRST_FRAMES + _LAST_FRAMES:
        shown = frames[:_FIRST_FRAMES] + frames[-_LAST_FRAMES:]
    for number, (trace, line) in enumerate(shown):
        if len(shown) < len(frames) and number == _FIRST_FRAMES:
            lines.append(f"  ... {len(frames) - len(shown)} frames left out ...")
        lines += _frame(trace, line, source, file)
    if isinstance(error, SyntaxError) and _syntax_place(error, file) is not None:
        lines += _syntax_lines(error, source)
    message = cut(_message(error), _MAX_MESSAGE)
    lines.append(f"{_name(error)}: {message}" if message else _name(error))
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions[:5]:
            lines += ["  | " + line for line in _one(part, source, file).split("\n")]
    return "\n".join(lines)


def _frame(trace: TracebackType, line: int, source: str, file: str) -> list[str]:
    code = trace.tb_frame.f_code
    if code.co_filename != file:
        return [f'  File "{code.co_filename}", line {line}, in {code.co_name}']
    lines = [f'  File "{FILE}", line {line}, in {code.co_name}']
    text = _source_line(source, line)
    if not text.strip():
        return lines
    lines.append(f"    {text.strip()}")
    _, end_line, start, end = _positions(trace)
    if start is None or end is None:
        return lines
    indent = len(text) - len(text.lstrip())
    first = _characters(source, line, start) - indent
    last = _characters(source, line, end) - indent if end_line == line else len(text) - indent
    whole = first <= 0 and last >= len(text.strip())
    if not whole and 0 <= first < last:
        lines.append("    " + " " * first + "^" * (last - first))
    return lines


def _syntax_lines(error: SyntaxError, source: str) -> list[str]:
    line = max(error.lineno or 1, 1)
    text = _source_line(source, line)
    lines = [f'  File "{FILE}", line {line}']
    if text.strip():
        indent = len(text) - len(text.lstrip())
        lines += [f"    {text.strip()}", "    " + " " * max((error.offset or 1) - 1 - indent, 0) + "^"]
    return lines


def forget(error: BaseException) -> None:
    """Let go of what the program holds: after a MemoryError that is where the memory is."""
    if (main := sys.modules.get("__main__")) is not None:
        main.__dict__.clear()
    traceback.clear_frames(error.__traceback__)
