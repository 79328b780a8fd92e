"""One run of a program that may have types: erased first, or only once plain JavaScript did not parse."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

from runtime.isolate.erasure import Erased, Problem, Types, lines_of
from runtime.isolate.guest import MOST_ERROR_BYTES, Guest, fits
from runtime.isolate.isolate import Isolate, settle
from runtime.isolate.outcome import Outcome, Status
from runtime.isolate.typescript import TypeEraser
from sandboxes.bounded_json import loads

# What QuickJS says of a program that does not parse: one frame, and no function in it.
_PARSE_STACK = re.compile(r"\s*at program\.js:\d+:\d+\s*")


def run_typed(  # noqa: PLR0913 - what a run consists of
    guest: Guest,
    program: str,
    inputs: str,
    types: Types,
    position: int = 0,
    *,
    take: Callable[[], Isolate],
    eraser: TypeEraser,
) -> Outcome:
    """Run a JavaScript or TypeScript program to its end, on the calling thread, between `begin` and `finish`.

    `take` gives fresh isolates, or the one of the program's session, where it has a `position`: one, or two if the
    program had to be run again. The caller closes them.
    """

    def run(code: str) -> Outcome:
        return take().run(guest, code, inputs, position)

    if types is Types.ERASE:
        return _run_erased(guest, program, eraser.erase(program, guest.tick), run)
    plain = run(program)
    if types is Types.KEEP or not _did_not_parse(plain):
        return plain
    erased = eraser.erase(program, guest.tick)
    if not erased.unsupported if isinstance(erased, Problem) else not erased.changed:
        # It was meant as JavaScript: QuickJS has said what is wrong with it.
        return plain
    return _run_erased(guest, program, erased, run)


def _run_erased(guest: Guest, program: str, erased: Erased | Problem, run: Callable[[str], Outcome]) -> Outcome:
    # Nothing of the first attempt happened: no call, no line, no time.
    guest.answer = None
    if guest.ending is not None:
        return settle(guest, trapped=True)
    if isinstance(erased, Problem):
        guest.answer = (False, erased.error_json())
        return settle(guest, trapped=False)
    return _in_source(run(erased.code), program)


def _did_not_parse(outcome: Outcome) -> bool:
    """Whether the program failed before any of it ran."""
    if outcome.ending.status is not Status.PROGRAM_ERROR or outcome.usage.host_calls or outcome.usage.log_lines:
        return False
    error = _error(outcome)
    stack = error.get("stack")
    return error.get("name") == "SyntaxError" and isinstance(stack, str) and bool(_PARSE_STACK.fullmatch(stack))


def _in_source(outcome: Outcome, source: str) -> Outcome:
    """The outcome with the line that the caller wrote, types and all, in place of the line that ran."""
    error = _error(outcome) if outcome.error else {}
    lines, number = lines_of(source), error.get("line")
    if not isinstance(number, int) or not 1 <= number <= len(lines) or "source_line" not in error:
        return outcome
    text = json.dumps({**error, "source_line": lines[number - 1]}, ensure_ascii=False)
    return dataclasses.replace(outcome, error=text) if fits(text, MOST_ERROR_BYTES) else outcome


def _error(outcome: Outcome) -> dict[str, Any]:
    try:
        error = loads(outcome.error)
    except ValueError:
        return {}
    return error if isinstance(error, dict) else {}
