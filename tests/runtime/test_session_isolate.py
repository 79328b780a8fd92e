"""The programs of a session in one isolate; and again, from their records, in another."""

import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.isolate import Outcome, ReplayMode, Status
from tests.runtime.random_programs import PROGRAMS
from tests.runtime.recorded import Record, Runner, runner
from tests.runtime.session_runner import SessionRunner, session

slow = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))

# Ahead of a random program: it keeps what earlier ones found, in the ways in which globals are kept.
KEEPING = {
    "javascript": """
        var seen = globalThis.seen ?? [];
        let last = seen.length;
        function note(...values) { seen.push([last, ...values]); }
        note(Date.now(), performance.now(), Math.random(), typeof out === 'undefined');
        setTimeout(() => note('left over'), 1);
    """,
    "python": """
import random, time
seen = globals().get("seen", [])
last = len(seen)
def note(*values):
    seen.append([last, *values])
note(time.time(), time.monotonic(), random.random(), "out" in globals())
asyncio_leftover = codemode.t.never()
""",
}
LEAVING = {"javascript": "note(out.length);", "python": "note(len(out), str(out))"}
PROBE = {
    "javascript": "[seen, last, typeof note, out.map(String), Math.random(), Date.now()]",
    "python": "[seen, last, str(type(note)), str(out), random.random(), time.time()]",
}


@pytest.fixture(scope="module", params=PROGRAMS)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def isolates(language: str) -> Iterator[Runner]:
    with runner(language) as runs:
        yield runs


def ended(outcome: Outcome) -> tuple[object, ...]:
    return outcome.ending, outcome.result, outcome.error, outcome.usage.host_calls, outcome.usage.log_lines


def run(runs: SessionRunner, program: str, **limits: int) -> Any:
    """The program's value; the error's name when it fails."""
    outcome, _ = runs.record(program, random.Random(0), **limits)
    return json.loads(outcome.result) if outcome.result else json.loads(outcome.error)["name"]


@slow
@given(st.data())
def test_a_session_made_again_from_its_records_is_the_same(
    isolates: Runner, language: str, data: st.DataObject
) -> None:
    drawn = data.draw(st.lists(PROGRAMS[language], min_size=1, max_size=4))
    chance = random.Random(data.draw(st.integers(0, 2**32)))
    programs = [f"{KEEPING[language]}\n{program}\n{LEAVING[language]}" for program in drawn]
    history: list[tuple[str, Outcome, Record]] = []
    with session(isolates) as first:
        for program in [*programs, PROBE[language]]:
            outcome, record = first.record(program, chance)
            history.append((program, outcome, record))
            if not first.isolate.reusable:
                break
    with session(isolates) as again:
        for program, outcome, record in history:
            replayed, heard = again.replay(program, record, record.replay(ReplayMode.VERIFY), random.Random(0))
            assert ended(replayed) == ended(outcome)
            assert heard.calls == []
            assert heard.trace == record.trace


SET = {"javascript": "let kept = 1", "python": "kept = 1"}
GET = {"javascript": "kept", "python": "kept"}
BAD = {
    "javascript": {
        "cpu": ("for (;;);", {"cpu_ms": 30}, Status.LIMIT_CPU),
        "memory": ("let a = []; for (;;) a.push(new Uint8Array(1 << 20).fill(1))", {}, Status.LIMIT_MEMORY),
        "stack": ("(function f() { f() })()", {}, Status.LIMIT_STACK),
        "result": ("'x'.repeat(1 << 17)", {}, Status.LIMIT_RESULT),
        "lines": ("for (let i = 0; i < 200; i++) console.log(i); 1", {}, Status.LIMIT_OUTPUT),
        "wall": ("await codemode.t.never({})", {"wall_ms": 100}, Status.LIMIT_WALL),
    },
    "python": {
        "cpu": ("while True: pass", {"cpu_ms": 30}, Status.LIMIT_CPU),
        "memory": ("a = []\nwhile True: a.append(bytes(1 << 20))", {}, Status.LIMIT_MEMORY),
        "stack": ("def f(): f()\nf()", {}, Status.LIMIT_STACK),
        "result": ("'x' * (1 << 17)", {}, Status.LIMIT_RESULT),
        "lines": ("for i in range(200): print(i)", {}, Status.LIMIT_OUTPUT),
        "wall": ("await codemode.t.never()", {"wall_ms": 100}, Status.LIMIT_WALL),
        "a trap": ("import json\njson.loads('[' * 100000)", {}, None),
    },
}


def test_a_limit_or_a_trap_ends_the_isolate(isolates: Runner, language: str) -> None:
    for name, (program, limits, status) in BAD[language].items():
        with session(isolates) as runs:
            run(runs, SET[language])
            assert runs.isolate.reusable
            outcome, _ = runs.record(program, random.Random(0), **limits)
            assert status is None or outcome.ending.status is status, name
            assert not runs.isolate.reusable, name


ERRORS = {"javascript": ["throw 1", "let let", "return 1; export let x"], "python": ["1 / 0", "x = = 1", "exit(1)"]}


def test_an_error_does_not_end_it(isolates: Runner, language: str) -> None:
    with session(isolates) as runs:
        run(runs, SET[language])
        for program in ERRORS[language]:
            assert isinstance(run(runs, program), str)
            assert runs.isolate.reusable
        assert run(runs, GET[language]) == 1


def test_each_program_has_limits_of_its_own(isolates: Runner, language: str) -> None:
    log = {"javascript": "for (let i = 0; i < 60; i++) console.log(i); 0", "python": "for i in range(60): print(i)\n0"}
    call = {"javascript": "await codemode.t.get({}); 0", "python": "await codemode.t.get()\n0"}
    with session(isolates) as runs:
        for _ in range(3):
            assert run(runs, log[language]) == 0
            assert run(runs, f"{call[language]}\n{call[language]}\n{call[language]}") == 0
        memory = {"javascript": "var more = new Uint8Array(48 << 20).fill(1); 0", "python": "more = bytes(48 << 20)\n0"}
        assert run(runs, memory[language]) == 0
        outcome, _ = runs.record(memory[language].replace("more", "most"), random.Random(0))
        assert outcome.ending.status is Status.LIMIT_MEMORY
