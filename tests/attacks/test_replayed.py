"""Programs that want to know whether they are replayed, and programs that want to be replayed as something else."""

import json
import random
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.isolate import Outcome, ReplayMode, Status
from runtime.isolate.trace import decode
from tests.runtime.random_programs import PROGRAMS
from tests.runtime.recorded import Record, Runner, runner


@pytest.fixture(scope="module", params=PROGRAMS)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def isolates(language: str) -> Iterator[Runner]:
    with runner(language) as runs:
        runs.keep_memory = True
        yield runs


def again(isolates: Runner, program: str, record: Record, **limits: int) -> tuple[Outcome, Record]:
    return isolates.replay(program, record, record.replay(ReplayMode.VERIFY), random.Random(0), **limits)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_a_replayed_program_leaves_the_same_memory_byte_for_byte(
    isolates: Runner, language: str, data: st.DataObject
) -> None:
    """What is the same in every byte has nothing to tell a replay by."""
    program, seed = data.draw(PROGRAMS[language]), data.draw(st.integers(0, 2**32))
    first, record = isolates.record(program, random.Random(seed))
    memory = isolates.memory
    second, heard = again(isolates, program, record)
    assert (second.result, second.error, heard.trace) == (first.result, first.error, record.trace)
    assert isolates.memory == memory
    assert second.usage.memory_bytes == first.usage.memory_bytes


# Spins between waits and sees whether any clock moves meanwhile; asks every source of identity and randomness there is.
PROBES = {
    "javascript": """
const seen = [];
for (let round = 0; round < 4; round++) {
    const before = [Date.now(), performance.now(), new Date().getTimezoneOffset()];
    let turns = 0;
    for (let i = 0; i < 100_000 && Date.now() === before[0]; i++) turns++;
    const timers = await Promise.race([
        codemode.t.get({round}), ...[0, 1, 2].map(ms => new Promise(done => setTimeout(done, ms, "timer " + ms))),
    ]);
    let microtasks = 0;
    for (; microtasks < 50; microtasks++) await null;
    seen.push({turns, before, timers, after: [Date.now(), performance.now()], random: Math.random(), microtasks});
}
let depth = 0;
try { (function down() { depth++; down() })() } catch (error) { seen.push(depth, error.message, error.stack.length) }
seen.push(crypto.randomUUID(), Object.getOwnPropertyNames(globalThis).sort().join());
return seen
""",
    "python": """
import asyncio, gc, os, platform, random, sys, threading, time, tracemalloc, uuid
seen = []
for round in range(4):
    clocks = [clock() for clock in (time.time_ns, time.monotonic_ns, time.process_time_ns, time.thread_time_ns)]
    turns = 0
    while turns < 20_000 and time.time_ns() == clocks[0]:
        turns += 1
    async def timer(ms):
        await asyncio.sleep(ms / 1e3)
        return f"timer {ms}"
    things = [asyncio.ensure_future(each) for each in (codemode.t.get(round=round), timer(0), timer(1), timer(2))]
    done, _ = await asyncio.wait(things, return_when="FIRST_COMPLETED")
    polled = 0
    while polled < 300 and not things[0].done():
        await asyncio.sleep(0)
        polled += 1
    seen.append([clocks, turns, sorted(str(each.result()) for each in done), polled, time.time_ns(), id(object())])
class Thing:
    pass
seen += [repr(Thing()), hash(Thing()), gc.get_count(), gc.get_stats(), len(gc.get_objects()), sys.getrefcount(None)]
seen += [sys.getallocatedblocks(), list({"a", "b", "zz"}), uuid.uuid4().hex, os.urandom(8).hex(), random.random()]
seen += [threading.get_ident(), os.getpid() if hasattr(os, "getpid") else 0, sorted(os.environ), platform.platform()]
try:
    def down(depth): return down(depth + 1)
    down(0)
except RecursionError as error:
    seen.append([str(error), len(error.__traceback__.tb_frame.f_code.co_code)])
seen
""",
}


def test_a_program_that_looks_for_signs_of_a_replay_finds_none(isolates: Runner, language: str) -> None:
    for seed in range(5):
        first, record = isolates.record(PROBES[language], random.Random(seed))
        assert first.ending.status is Status.SUCCEEDED, first.error
        memory = isolates.memory
        second, heard = again(isolates, PROBES[language], record)
        assert (second.ending, second.result) == (first.ending, first.result)
        assert heard.trace == record.trace
        assert isolates.memory == memory


RACES = {
    "javascript": """
// Each answer races a timer, and who wins decides what is asked next: with which arguments, and how often.
let state = 0;
for (let i = 0; i < 6; i++) {
    const winner = await Promise.race([
        codemode.t.get({state}).then(() => 1), new Promise(done => setTimeout(done, i % 3, 2)),
    ]);
    state = state * 31 + winner + Date.now() % 7;
    console.log("state", state);
}
return state
""",
    "python": """
import asyncio, time
state = 0
for i in range(6):
    call, timer = asyncio.ensure_future(codemode.t.get(state=state)), asyncio.ensure_future(asyncio.sleep(i % 3 / 1e3))
    await asyncio.wait([call, timer], return_when="FIRST_COMPLETED")
    state = state * 31 + call.done() + time.time_ns() // 10**6 % 7
    print("state", state)
state
""",
}


def test_a_program_that_does_as_a_race_of_clocks_ends_does_it_again(isolates: Runner, language: str) -> None:
    results = set()
    for seed in range(12):
        first, record = isolates.record(RACES[language], random.Random(seed))
        results.add(first.result)
        second, heard = again(isolates, RACES[language], record)
        assert (second.ending, second.result, heard.lines) == (first.ending, first.result, record.lines)
    assert len(results) > 1, "no race was ever decided otherwise"


TWO_FACED = {
    "javascript": "const t = Date.now(); await codemode.t.get({}); return Date.now() - t > 100_000 ? 'resumed' : 'not'",
    "python": "import time\nt = time.time()\nawait codemode.t.get()\n'resumed' if time.time() - t > 100 else 'not'",
}


def test_the_time_a_resumed_program_sees_is_recorded_as_any_other(isolates: Runner, language: str) -> None:
    """Time that passed while it was paused is seen: as after a slow answer. It is the same in every later replay."""
    _, record = isolates.record(TWO_FACED[language], random.Random(1))
    record.start_ns -= 3_600 * 10**9
    paused = Record(start_ns=record.start_ns, said=[each for each in record.said if each in record.calls])
    resume = paused.replay(ReplayMode.RESUME)
    outcome, rest = isolates.replay(TWO_FACED[language], paused, resume, random.Random(1))
    assert json.loads(outcome.result) == "resumed"
    whole = Record(start_ns=paused.start_ns, said=paused.said + rest.said, answers=rest.answers)
    assert again(isolates, TWO_FACED[language], whole)[0].result == outcome.result


FLOODS = {"javascript": "console.log('x'.repeat(100)); ", "python": "print('x' * 100)\n"}
ASKS = {
    "javascript": "let n = 0; for (;;) { try { await codemode.t.get({}); n++ } catch (e) { return [n, e.code] } }",
    "python": """
done, code = 0, ""
while not code:
    try:
        await codemode.t.get()
        done += 1
    except Exception as error:
        code = error.code
[done, code]
""",
}


@pytest.mark.parametrize("limit", [{"log_lines": 5}, {"log_bytes": 500}], ids=str)
def test_being_resumed_again_and_again_gives_no_lines_back(
    isolates: Runner, language: str, limit: dict[str, int]
) -> None:
    """Every limit that is no clock counts from the start of the program, however often it goes on from its record."""
    program = FLOODS[language] * 10
    outcome, record = isolates.record(program, random.Random(0), **limit)
    assert outcome.ending.status is Status.LIMIT_OUTPUT
    for most in range(len(record.said) + 1):
        start = Record(start_ns=record.start_ns, said=record.said[:most])
        resume = start.replay(ReplayMode.RESUME)
        resumed, rest = isolates.replay(program, start, resume, random.Random(0), **limit)
        assert resumed.ending == outcome.ending
        assert start.lines + rest.lines == record.lines


def test_host_calls_are_counted_from_the_start(isolates: Runner, language: str) -> None:
    outcome, record = isolates.record(ASKS[language], random.Random(0))
    assert json.loads(outcome.result) == [6, "limit"], outcome
    for most in range(len(record.said) + 1):
        start = Record(start_ns=record.start_ns, said=record.said[:most], answers=record.answers)
        heard = {entry.call_id for entry in decode(start.trace)}
        resume = start.replay(ReplayMode.RESUME, unanswered=frozenset(set(record.answers) - heard))
        resumed, _ = isolates.replay(ASKS[language], start, resume, random.Random(0))
        assert resumed.result == outcome.result
