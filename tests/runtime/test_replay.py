"""An execution is a function of what it hears: recorded, cut anywhere and replayed, it does the same again."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.isolate import Outcome, ReplayMode, Status
from runtime.isolate.trace import decode
from tests.runtime.random_programs import PROGRAMS
from tests.runtime.recorded import Record, Runner, runner

slow = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module", params=PROGRAMS)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def isolates(language: str) -> Iterator[Runner]:
    with runner(language) as runs:
        yield runs


def ended(outcome: Outcome) -> tuple[object, ...]:
    return outcome.ending, outcome.result, outcome.error, outcome.usage.host_calls, outcome.usage.log_lines


def verify(isolates: Runner, program: str, outcome: Outcome, record: Record) -> None:
    """The whole record, replayed, gives the same end, lines and trace, and asks nobody for anything."""
    again, heard = isolates.replay(program, record, record.replay(ReplayMode.VERIFY), random.Random(0))
    assert ended(again) == ended(outcome)
    assert heard.lines == record.lines
    assert heard.trace == record.trace
    assert heard.calls == []
    assert "live" not in heard.said


def cut(record: Record, at: int, chance: random.Random) -> tuple[Record, frozenset[int]]:
    """What was durable when all broke off after so much was said; and the calls whose answer was not."""
    said = record.said[:at]
    start = Record(start_ns=record.start_ns, said=said)
    heard = {entry.call_id for entry in decode(start.trace)}
    made = {call.call_id for call in start.calls}
    known = {number for number in made & record.answers.keys() if number in heard or chance.random() < 0.5}
    start.answers = {number: record.answers[number] for number in known}
    return start, frozenset(made - known)


def joined(start: Record, rest: Record) -> Record:
    said = [*start.said, *(each for each in rest.said if each != "live")]
    return Record(start_ns=start.start_ns, said=said, answers={**rest.answers, **start.answers})


@slow
@given(st.data())
def test_a_record_cut_anywhere_goes_on_and_is_verified_as_one(
    isolates: Runner, language: str, data: st.DataObject
) -> None:
    program, seed = data.draw(PROGRAMS[language]), data.draw(st.integers(0, 2**32))
    cuts = data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=2))
    isolates.clock_ms = data.draw(st.sampled_from([1, 2, 7]))
    chance = random.Random(seed)
    outcome, record = isolates.record(program, chance)
    verify(isolates, program, outcome, record)
    for share in cuts:
        start, unanswered = cut(record, round(share * len(record.said)), chance)
        outcome, rest = isolates.replay(program, start, start.replay(ReplayMode.RESUME, unanswered=unanswered), chance)
        assert not {call.call_id for call in start.calls} & {call.call_id for call in rest.calls}
        lines = start.lines + rest.lines
        assert [number for number, *_ in lines] == list(range(1, len(lines) + 1))
        record = joined(start, rest)
        verify(isolates, program, outcome, record)


# What a program does after it heard something, and how that ends: the replay ends so too.
ENDS = {
    "memory": (
        "const kept = []; for (;;) kept.push(new Array(100_000).fill(0))",
        "kept = []\nwhile True: kept.append([0] * 100_000)",
        Status.LIMIT_MEMORY,
    ),
    "stack": (
        "(function down() { return [down()] })()",
        "def down(): return [down()]\ndown()",
        None,
    ),
    "result": ("return 'x'.repeat(200_000)", "'x' * 200_000", Status.LIMIT_RESULT),
    "lines": ("for (;;) console.log('x')", "while True: print('x')", Status.LIMIT_OUTPUT),
    "calls": (
        "for (;;) codemode.t.get({})",
        "import asyncio\nwhile True: asyncio.ensure_future(codemode.t.get()); await asyncio.sleep(0)",
        Status.LIMIT_HOST_CALLS,
    ),
    "an error": ("throw new Error('gone wrong at ' + Date.now())", "raise ValueError(id(object()))", None),
}
FIRST = {"javascript": "await codemode.t.get({});\n", "python": "await codemode.t.get()\n"}


@pytest.mark.parametrize(("js", "py", "status"), ENDS.values(), ids=ENDS)
def test_an_end_the_program_brings_about_is_brought_about_again(
    isolates: Runner, language: str, js: str, py: str, status: Status | None
) -> None:
    program = FIRST[language] + (js if language == "javascript" else py)
    outcome, record = isolates.record(program, random.Random(0))
    assert outcome.ending.status is (status or outcome.ending.status)
    assert outcome.ending.status is not Status.SUCCEEDED
    verify(isolates, program, outcome, record)


LATE = {
    "processor time": ("for (;;);", "while True: pass", {"cpu_ms": 60}, Status.LIMIT_CPU, Status.LIMIT_CPU),
    "time": (
        "await codemode.t.never({})",
        "await codemode.t.never()",
        {"wall_ms": 90},
        Status.LIMIT_WALL,
        Status.STOPPED,
    ),
}


@pytest.mark.parametrize(("js", "py", "limits", "status", "again"), LATE.values(), ids=LATE)
def test_an_end_by_a_clock_is_verified_up_to_the_last_thing_that_happened(
    isolates: Runner, language: str, js: str, py: str, limits: dict[str, int], status: Status, again: Status
) -> None:
    log = {"javascript": "console.log('heard');\n", "python": "print('heard')\n"}[language]
    program = FIRST[language] + log + (js if language == "javascript" else py)
    outcome, record = isolates.record(program, random.Random(1), **limits)
    assert outcome.ending.status is status
    replayed, heard = isolates.replay(program, record, record.replay(ReplayMode.VERIFY), random.Random(0), **limits)
    assert replayed.ending.status is again
    assert (heard.lines, heard.trace) == (record.lines, record.trace)


def test_fuel_is_burnt_again_to_the_drop(language: str) -> None:
    sums = {"javascript": "let n = 0; for (let i = 0; i < 1e4; i++) n += i;", "python": "sum(range(10_000))\n"}
    program = FIRST[language] + sums[language]
    with runner(language, fuel=True) as counting:
        outcome, record = counting.record(program, random.Random(1), fuel=10**10)
        again, _ = counting.replay(program, record, record.replay(ReplayMode.VERIFY), random.Random(0), fuel=10**10)
        assert again.usage.fuel == outcome.usage.fuel > 10**5
        end = outcome.usage.fuel - 1_000
        burnt, record = counting.record(program, random.Random(1), fuel=end)
        assert burnt.ending.status is Status.LIMIT_FUEL
        again, heard = counting.replay(program, record, record.replay(ReplayMode.VERIFY), random.Random(0), fuel=end)
        assert (again.ending, heard.trace) == (burnt.ending, record.trace)
