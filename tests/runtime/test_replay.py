"""An execution is a function of what it hears: recorded, cut anywhere and replayed, it does the same again."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.isolate import Outcome, ReplayMode
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
