"""Over a thousand isolates: what must differ between executions, and what must not."""

import hashlib
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEP_MS = 50

JAVASCRIPT = """
const order = [];
await Promise.all(["c", "a", "b"].map(async n => order.push(await codemode.u[n]())));
const before = [Date.now(), performance.now()];
let same = true;
for (let i = 0; i < 2000; i++) same = same && Date.now() === before[0] && performance.now() === before[1];
({
    random: [Math.random(), Math.random()],
    uuid: crypto.randomUUID(),
    bytes: [...crypto.getRandomValues(new Uint8Array(16))].join(),
    keys: Object.keys({b: 1, a: 2, 1: 3}).join() + [...new Set(["z", "y"])].join() + Object.keys(globalThis).join(),
    order: order.join(),
    stands: same,
})
"""
PYTHON = """
import asyncio, gc, os, random, secrets, tempfile, time, uuid
class A: pass
start = [time.time_ns(), time.monotonic_ns(), time.perf_counter_ns(), time.process_time_ns()]
early = [id(A()), id([]), repr(A()), hash(A())]
order = []
async def call(name):
    order.append(await codemode.u[name]())
await asyncio.gather(call("c"), call("a"), call("b"))
now = time.time_ns()
result = {
    "random": [random.random(), random.Random().random(), random.SystemRandom().random()],
    "uuid": str(uuid.uuid4()),
    "bytes": os.urandom(16).hex() + secrets.token_hex(16),
    "names": next(tempfile._get_candidate_names()),
    "start": start,
    "early": early,
    "hashes": [hash("abc"), hash(b"abc"), list({"a", "b", "c", "zz"}), list({object(): 1, A: 2}.values())],
    "order": order,
    "stands": all(time.time_ns() == now for _ in range(300)),
}
result
"""
PROGRAMS = {"javascript": JAVASCRIPT, "python": PYTHON}
MANY = {"javascript": 1_200, "python": 250}
MUST_DIFFER = {"javascript": {"random", "uuid", "bytes"}, "python": {"random", "uuid", "bytes", "names"}}


def seeds(count: int) -> list[str]:
    return [hashlib.sha256(str(number).encode()).hexdigest() for number in range(count)]


def many(language: str, program: str, seeds: list[str], **options: Any) -> list[Any]:
    """The result of the program in each isolate; all of them in one process that is gone afterwards."""
    request = json.dumps({"language": language, "program": program, "seeds": seeds, **options})
    command = [sys.executable, "-m", "tests.attacks.many"]
    done = subprocess.run(command, input=request, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert [outcome["error"] for outcome in outcomes if outcome["error"]] == []
    return [json.loads(outcome["result"]) for outcome in outcomes]


@pytest.fixture(scope="module", params=PROGRAMS)
def language(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def different(language: str) -> list[dict[str, Any]]:
    return many(language, PROGRAMS[language], seeds(MANY[language]), together=3)


def test_what_must_differ_never_repeats(language: str, different: list[dict[str, Any]]) -> None:
    for key in MUST_DIFFER[language]:
        values = {json.dumps(result[key]) for result in different}
        assert len(values) == len(different), key


def test_no_single_random_number_repeats(different: list[dict[str, Any]]) -> None:
    numbers = [number for result in different for number in result["random"]]
    assert len(set(numbers)) == len(numbers)


def test_what_must_not_differ_is_the_same_everywhere(language: str, different: list[dict[str, Any]]) -> None:
    for key in different[0].keys() - MUST_DIFFER[language]:
        assert len({json.dumps(result[key]) for result in different}) == 1, key


def test_the_order_of_results_is_the_order_of_their_arrival(different: list[dict[str, Any]]) -> None:
    order = different[0]["order"]
    assert "".join(order).replace(",", "").replace("u.", "") == "bac"


def test_the_clock_stands_still_while_a_program_computes(different: list[dict[str, Any]]) -> None:
    assert all(result["stands"] for result in different)


def test_one_seed_gives_the_same_bytes_in_every_isolate_and_process(language: str) -> None:
    seed = seeds(1) * 60
    one = many(language, PROGRAMS[language], seed, together=3)
    two = many(language, PROGRAMS[language], seed[:3], together=3)
    assert len({json.dumps(result) for result in one + two}) == 1


def test_an_isolate_that_was_not_warmed_differs_in_addresses_only(language: str) -> None:
    warm, cold = (many(language, PROGRAMS[language], seeds(1), together=3, warm=flag)[0] for flag in (True, False))
    assert {key for key in warm if warm[key] != cold[key]} <= {"early"}


CLOCKS = {
    "javascript": "const t = [Date.now()]; for (let i = 0; i < 4; i++) { await codemode.u.x(); t.push(Date.now()) }; t",
    "python": "import time\nt = [time.time_ns() // 10**6]\nfor _ in range(4):\n    await codemode.u.x()\n"
    "    t.append(time.time_ns() // 10**6)\nt",
}
SLEEPS = {
    "javascript": "const a = performance.now(); await new Promise(r => setTimeout(r, 10)); performance.now() - a",
    "python": "import asyncio, time\na = time.monotonic()\nawait asyncio.sleep(0.01)\n"
    "round((time.monotonic() - a) * 1000)",
}


def test_the_clock_moves_at_host_calls_and_in_steps(language: str) -> None:
    (times,) = many(language, CLOCKS[language], seeds(1), clock_ms=STEP_MS, pause=0.06)
    assert all(moment % STEP_MS == 0 for moment in times)
    assert all(later - earlier >= STEP_MS for earlier, later in itertools.pairwise(times))


def test_the_usual_step_is_a_millisecond(language: str) -> None:
    program = CLOCKS[language].replace(" // 10**6", "")
    (times,) = many(language, program, seeds(1), pause=0.005)
    assert all(moment == int(moment) and moment % (10**6 if language == "python" else 1) == 0 for moment in times)


def test_a_sleep_takes_whole_steps(language: str) -> None:
    (slept,) = many(language, SLEEPS[language], seeds(1), clock_ms=STEP_MS)
    assert slept >= STEP_MS
    assert slept % STEP_MS == 0
