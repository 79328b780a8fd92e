"""The same seed and the same events give the same bytes; another seed gives other randomness; a warm call leaves nothing."""

# ruff: noqa: E501 (programs in tables are one line each)

import pytest

from tests.images.python_host import Image, Outcome, Reply, Submitted, echo, python

__all__ = ["python"]

EVERYTHING = """
import asyncio, datetime, gc, os, random, secrets, sys, tempfile, time, uuid
class A: pass
r = {}
r["addresses"] = [id(A()), id([]), id("x" * 50), repr(A()), hash(A()), gc.get_count(), [type(o).__name__ for o in {object(), 1, "x", (1, 2)}]]
r["random"] = [random.random(), random.Random().random(), random.SystemRandom().random(), random.sample(range(99), 3)]
r["entropy"] = [os.urandom(8).hex(), secrets.token_hex(8), str(uuid.uuid4()), str(uuid.uuid1())]
r["names"] = next(tempfile._get_candidate_names())
r["hashes"] = [hash("abc"), list({"a", "b", "c", "zz"})]
r["time"] = [time.time(), time.monotonic(), time.perf_counter(), time.process_time(), str(datetime.datetime.now())]
order = []
async def call(n):
    order.append((await codemode.u[f"t{n}"]())["name"])
await asyncio.gather(*(call(n) for n in (1, 2, 3)))
tasks = {asyncio.ensure_future(call(n)) for n in (1, 2, 3)}
done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
await asyncio.wait(left)
r["order"] = order
r["tasks"] = sorted(task.get_name() for task in tasks)
await asyncio.sleep(1.5)
r["later"] = time.time()
r["modules"] = sorted(sys.modules)
print(r)
r
"""
DELAYS = {"u.t1": 0.003, "u.t2": 0.001, "u.t3": 0.002}


def timed(call: Submitted) -> Reply:
    return Reply(value={"name": call.name}, after=DELAYS[call.name])


def _transcript(outcome: Outcome) -> tuple[object, ...]:
    assert outcome.error is None
    host = outcome.host
    return (outcome.raw, host.logs, host.submitted, host.waits, host.random_calls)


def test_same_seed_same_bytes(python: Image) -> None:
    runs = [_transcript(python.run(EVERYTHING, handler=timed)) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]


def test_a_warm_call_leaves_no_trace(python: Image) -> None:
    # But for addresses: those repeat among isolates that were all warmed, or all not.
    warm = python.run(EVERYTHING, handler=timed, warm=True)
    cold = python.run(EVERYTHING, handler=timed, warm=False)
    assert [key for key in warm.value if warm.value[key] != cold.value[key]] in ([], ["addresses"])
    assert _transcript(warm)[2:] == _transcript(cold)[2:]


def test_addresses_repeat_among_isolates_that_were_not_warmed(python: Image) -> None:
    runs = [_transcript(python.run(EVERYTHING, handler=timed, warm=False)) for _ in range(2)]
    assert runs[0] == runs[1]


def test_another_seed_differs_only_in_randomness(python: Image) -> None:
    one = python.run(EVERYTHING, handler=timed, seed=b"one").value
    two = python.run(EVERYTHING, handler=timed, seed=b"two").value
    differing = {key for key in one if one[key] != two[key]}
    assert {"random", "entropy", "names"} <= differing
    assert differing.isdisjoint({"time", "order", "tasks", "later", "hashes", "modules"})


SOURCES = {
    "random": "import random\nrandom.random()",
    "from random": "from random import randint\nrandint(0, 10 ** 12)",
    "shuffle": "import random\nx = list(range(50)); random.shuffle(x); x",
    "state": "import random\nrandom.getstate()[1][:3]",
    "uuid4": "import uuid\nuuid.uuid4()",
    "secrets": "import secrets\nsecrets.token_hex()",
    "urandom": "import os\nos.urandom(8).hex()",
    "names": "import tempfile\nnext(tempfile._get_candidate_names())",
    "by importlib": "import importlib\nimportlib.import_module('random').random()",
    "by sys.modules": "import sys\nsys.modules['random'].random()",
    "by vars": "import random\nvars(random)['random']()",
    "message id": "import email.utils\nemail.utils.make_msgid(domain='x')",
}


@pytest.mark.parametrize("code", SOURCES.values(), ids=SOURCES.keys())
def test_randomness_comes_from_the_seed(python: Image, code: str) -> None:
    one, again, two = (python.run(code, seed=seed).value for seed in (b"one", b"one", b"two"))
    assert one == again
    assert one != two


def test_a_program_that_wants_no_randomness_asks_for_none(python: Image) -> None:
    assert python.run("import json, asyncio\nawait asyncio.sleep(0)\n[1]").host.random_calls == []


def test_an_own_seed_is_honoured(python: Image) -> None:
    code = "import random\nrandom.seed(42)\nrandom.random()"
    assert python.run(code, seed=b"one").value == python.run(code, seed=b"two").value == 0.6394267984578837


def test_the_warm_call_reaches_no_host_function(python: Image) -> None:
    outcome = python.run("1", warm=False)
    # componentize-py asks for these on the first call, whatever it is.
    assert {name.partition("@")[0] for name in outcome.host.imports_called} == {"wasi:cli/environment"}
    assert python.run("1", warm=True).host.imports_called == []


def test_none_as_a_program(python: Image) -> None:
    assert python.run("None", warm=False).raw == "1null"
    assert python.run("None", warm=True).raw == "1null"


def test_logs_and_results_of_an_echo_are_the_same_cold_and_warm(python: Image) -> None:
    code = "import asyncio\nprint(await asyncio.gather(*(codemode.a.b(n=n) for n in range(3))))\n{'a', 'b'}"
    assert _transcript(python.run(code, handler=echo)) == _transcript(python.run(code, handler=echo, warm=False))
