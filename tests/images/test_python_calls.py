"""Calls of tools, the event loop over the host's events, and time."""

# ruff: noqa: E501 (programs in tables are one line each)

import json
from typing import Any

import pytest

from tests.images.python_host import START, Image, Reply, Submitted, echo, python

__all__ = ["python"]

FAILURE = {
    "code": "upstream_error",
    "message": "nope",
    "status": 500,
    "retryable": True,
    "tool": "boom.x",
    "details": {"a": 1},
}


def answer(call: Submitted) -> Reply:
    """Fail calls of `boom`, never answer `never`, take the seconds asked for, echo the rest."""
    if call.name.startswith("boom"):
        return Reply(error=FAILURE)
    if call.name.startswith("never"):
        return Reply(never=True)
    return Reply(value=call.payload, after=float(call.payload.get("after", 0.001)))


def _value(python: Image, code: str, **options: Any) -> Any:
    outcome = python.run(code, handler=answer, **options)
    assert outcome.error is None
    assert outcome.trap is None
    return outcome.value


def test_a_call_with_keywords(python: Image) -> None:
    outcome = python.run("await codemode.ledger.list(account='a', limit=2)", handler=answer)
    assert outcome.value == {"account": "a", "limit": 2}
    assert outcome.host.submitted == [Submitted(1, 1, "ledger.list", {"account": "a", "limit": 2})]


def test_a_call_with_one_dict(python: Image) -> None:
    assert _value(python, "await codemode.a.b({'x-y': 1}, z=2)") == {"x-y": 1, "z": 2}


NAMES = {
    "a keyword": ("codemode.import_.class_", "import.class"),
    "by getattr": ("getattr(codemode.a, 'class')", "a.class"),
    "by item": ("codemode['my-upstream']['list-all']", "my-upstream.list-all"),
    "whole by item": ("codemode['my-upstream.list-all']", "my-upstream.list-all"),
    "a real underscore": ("codemode.a.list_", "a.list_"),
    "imported": ("__import__('codemode').a.b", "a.b"),
}


@pytest.mark.parametrize(("tool", "name"), NAMES.values(), ids=NAMES.keys())
def test_names(python: Image, tool: str, name: str) -> None:
    outcome = python.run(f"await {tool}()", handler=answer)
    assert outcome.error is None
    assert [call.name for call in outcome.host.submitted] == [name]


def test_import_from_codemode(python: Image) -> None:
    assert _value(python, "from codemode import ledger, ToolError\nawait ledger.list(a=1)") == {"a": 1}


def test_keyword_arguments_named_like_keywords(python: Image) -> None:
    assert _value(python, "await codemode.a.b(from_='x', to_='y')") == {"from": "x", "to_": "y"}


def test_arguments_are_converted(python: Image) -> None:
    code = "import datetime\nawait codemode.a.b(day=datetime.date(2024, 1, 2), ids={2, 1})"
    assert _value(python, code) == {"day": "2024-01-02", "ids": [1, 2]}


def test_positional_arguments_are_refused(python: Image) -> None:
    outcome = python.run("await codemode.a.b('x')", handler=answer)
    assert outcome.error is not None
    assert outcome.error["name"] == "TypeError"
    assert "a.b takes keyword arguments" in outcome.error["message"]
    assert outcome.host.submitted == []


def test_arguments_that_are_no_json_are_refused(python: Image) -> None:
    outcome = python.run("await codemode.a.b(x=[object()])", handler=answer)
    assert outcome.error is not None
    assert "arguments['x'][0] is no JSON" in outcome.error["message"]
    assert outcome.host.submitted == []


def test_an_upstream_is_no_tool(python: Image) -> None:
    outcome = python.run("await codemode.ledger(x=1)")
    assert outcome.error is not None
    assert "ledger is an upstream" in outcome.error["message"]


def test_a_tool_that_is_not_called(python: Image) -> None:
    outcome = python.run("await codemode.ledger.list")
    assert outcome.error is not None
    assert outcome.error["message"] == "ledger.list is a tool; call it: await codemode.ledger.list(...)"


def test_arguments_above_their_limit(python: Image) -> None:
    code = """
try:
    codemode.a.b(text='x' * 2000)
except ToolError as error:
    caught = [error.code, error.tool, error.retryable]
caught
"""
    outcome = python.run(code, handler=answer, max_call_bytes=1000)
    assert outcome.value == ["limit", "a.b", False]
    assert outcome.host.submitted == []


def test_arguments_above_their_limit_uncaught(python: Image) -> None:
    outcome = python.run("await codemode.a.b(text='x' * 2000)", handler=answer, max_call_bytes=1000)
    assert outcome.error is not None
    assert outcome.error["limit"] == "call_bytes"
    assert outcome.error["call"]["code"] == "limit"


def test_names_above_their_limit(python: Image) -> None:
    outcome = python.run("await codemode.a['b' * 1000]()", handler=answer)
    assert outcome.error is not None
    assert outcome.error["call"]["code"] == "invalid_argument"
    assert outcome.host.submitted == []


def test_names_with_broken_unicode(python: Image) -> None:
    outcome = python.run("await codemode.a['\\ud800']()", handler=answer)
    assert [call.name for call in outcome.host.submitted] == ["a.\ufffd"]


def test_a_failed_call_can_be_caught(python: Image) -> None:
    code = """
done = await codemode.a.b(x=1)
try:
    await codemode.boom.x()
except ToolError as error:
    failed = [error.code, error.status, error.message, error.retryable, error.tool, error.details]
[done, failed, str(error) if False else None]
"""
    assert _value(python, code)[:2] == [{"x": 1}, ["upstream_error", 500, "nope", True, "boom.x", {"a": 1}]]


def test_a_broken_error_object_is_an_error_all_the_same(python: Image) -> None:
    outcome = python.run("await codemode.a.b()", handler=lambda _: Reply(error={"message": "x", "code": 7, "odd": 1}))
    assert outcome.error is not None
    assert outcome.error["name"] == "ToolError"


def test_calls_run_in_parallel(python: Image) -> None:
    code = """
import asyncio, time
start = time.monotonic()
values = await asyncio.gather(*(codemode.a.b(after=n) for n in (3, 1, 2)))
[[v["after"] for v in values], time.monotonic() - start]
"""
    outcome = python.run(code, handler=answer)
    assert outcome.value == [[3, 1, 2], 3.0]
    assert [call.number for call in outcome.host.submitted] == [1, 2, 3]


INTERLEAVINGS = {
    "as_completed": (
        "[(await call)['after'] for call in asyncio.as_completed([codemode.a.b(after=n) for n in (3, 1, 2)])]",
        [1, 2, 3],
    ),
    "wait": (
        "sorted(c.result()['after'] for c in (await asyncio.wait([codemode.a.b(after=n) for n in (3, 1, 2)],"
        " return_when=asyncio.FIRST_COMPLETED))[0])",
        [1],
    ),
    "create_task": ("[(await asyncio.create_task(codemode.a.b(after=n)))['after'] for n in (2, 1)]", [2, 1]),
    "ensure_future": ("(await asyncio.ensure_future(codemode.a.b(x=1)))", {"x": 1}),
    "shield": ("(await asyncio.shield(codemode.a.b(x=1)))", {"x": 1}),
    "wait_for": ("(await asyncio.wait_for(codemode.a.b(x=1), 5))", {"x": 1}),
    "gather with exceptions": (
        "[type(r).__name__ for r in await asyncio.gather(codemode.boom.x(), codemode.a.b(), return_exceptions=True)]",
        ["ToolError", "dict"],
    ),
    "asyncio.run of a call": ("asyncio.run(codemode.a.b(x=1))", {"x": 1}),
    "to_thread": ("await asyncio.to_thread(lambda: 5)", 5),
    "run_in_executor": ("await asyncio.get_running_loop().run_in_executor(None, pow, 2, 3)", 8),
    "a queue": ("await asyncio.gather(q.put(1), q.get())", [None, 1]),
}


@pytest.mark.parametrize(("expression", "expected"), INTERLEAVINGS.values(), ids=INTERLEAVINGS.keys())
def test_asyncio(python: Image, expression: str, expected: Any) -> None:
    assert _value(python, f"import asyncio\nq = asyncio.Queue()\nresult = {expression}\nresult") == expected


def test_task_group(python: Image) -> None:
    code = """
import asyncio
async with asyncio.TaskGroup() as group:
    tasks = [group.create_task(codemode.a.b(after=n)) for n in (2, 1)]
return [task.result()["after"] for task in tasks]
"""
    assert _value(python, code) == [2, 1]


@pytest.mark.parametrize(
    "code",
    [
        "await asyncio.wait_for(codemode.never.x(), 2)",
        "async with asyncio.timeout(2):\n        await codemode.never.x()",
    ],
)
def test_timeouts(python: Image, code: str) -> None:
    program = f"import asyncio, time\ntry:\n    {code}\nexcept TimeoutError:\n    caught = time.monotonic()\ncaught"
    assert _value(python, program) == pytest.approx(2, abs=1e-6)


def test_timers_fire_in_order_of_time(python: Image) -> None:
    code = """
import asyncio
seen = []
async def at(n):
    await asyncio.sleep(n); seen.append(n)
await asyncio.gather(*(at(n) for n in (3, 1, 2)))
seen
"""
    assert _value(python, code) == [1, 2, 3]


def test_spinning_on_sleep_zero_sees_events(python: Image) -> None:
    code = """
import asyncio
call = asyncio.create_task(codemode.a.b(after=0))
while not call.done():
    await asyncio.sleep(0)
call.result()
"""
    assert _value(python, code) == {"after": 0}


def test_sleeping_moves_the_clock_and_nothing_else_does(python: Image) -> None:
    code = """
import time
before = time.time()
for _ in range(1000): pass
same = time.time() == before and time.perf_counter() == 0.0 and time.process_time() == 0.0
time.sleep(5)
[before, same, time.time() - before, time.monotonic()]
"""
    assert _value(python, code) == [START / 1e9, True, 5.0, 5.0]


def test_sleeping_delivers_calls(python: Image) -> None:
    code = """
import time
call = codemode.a.b(after=1)
time.sleep(3)
done = call.done()
[done, await call]
"""
    assert _value(python, code) == [True, {"after": 1}]


def test_sleep_refuses_nonsense(python: Image) -> None:
    outcome = python.run("import time\ntime.sleep(-1)")
    assert outcome.error is not None
    assert outcome.error["name"] == "ValueError"


def test_waiting_on_an_event_with_a_timeout_takes_time(python: Image) -> None:
    code = "import threading, time\nset_ = threading.Event().wait(2)\n[set_, time.monotonic()]"
    assert _value(python, code) == [False, 2.0]


def test_a_call_nobody_awaits_is_made_and_told(python: Image) -> None:
    outcome = python.run("codemode.a.b(x=1)\n'done'", handler=answer)
    assert outcome.value == "done"
    assert [call.name for call in outcome.host.submitted] == ["a.b"]
    assert outcome.host.logs == [(3, "1 call(s) were made but never awaited, use await: a.b")]


def test_a_printed_call_tells_what_to_do(python: Image) -> None:
    outcome = python.run("call = codemode.a.b(x=1)\nprint(call)\nawait call\n1", handler=answer)
    assert outcome.lines == ["<un-awaited call of a.b: use await>"]


@pytest.mark.parametrize("use", ["call['x']", "call.x", "[i for i in call]", "len(call)"])
def test_using_a_call_as_data_tells_what_to_do(python: Image, use: str) -> None:
    outcome = python.run(f"call = codemode.a.b(x=1)\n{use}", handler=answer)
    assert outcome.error is not None
    assert "await it first" in outcome.error["message"]


def test_a_result_for_a_call_never_made_is_ignored(python: Image) -> None:
    def flood(call: Submitted) -> Reply:
        return Reply(value=call.number)

    code = "import wit_world\nwit_world.submit(77, 1, 'a.b', '{}')\nawait codemode.c.d()"
    assert python.run(code, handler=flood).value == 1


def test_thread_pool_runs_inline(python: Image) -> None:
    code = """
from concurrent.futures import ThreadPoolExecutor, as_completed
with ThreadPoolExecutor(4) as pool:
    squares = list(pool.map(lambda n: n * n, [1, 2, 3]))
    futures = [pool.submit(pow, 2, n) for n in range(3)]
    powers = sorted(future.result() for future in as_completed(futures))
[squares, powers]
"""
    assert _value(python, code) == [[1, 4, 9], [1, 2, 4]]


def test_many_calls(python: Image) -> None:
    code = "import asyncio\nvalues = await asyncio.gather(*(codemode.a.b(n=n) for n in range(500)))\n[v['n'] for v in values]"
    assert _value(python, code) == list(range(500))


def test_inputs_and_values_survive_the_way(python: Image) -> None:
    inputs = {"text": "\u00e9\U0001f600\n", "number": 1.5, "list": [None, True, {}], "big": 2**70}
    outcome = python.run("await codemode.a.b(value=inputs)", handler=echo, inputs=inputs)
    assert outcome.value["arguments"]["value"] == inputs
    assert json.loads(outcome.raw[1:]) == outcome.value


def three_pages(call: Submitted) -> Reply:
    """A tool of three pages."""
    page = call.payload.get("page", 1)
    following = {**call.payload, "page": page + 1} if page < 3 else None
    return Reply(value={"data": [page], "status": 200, "headers": {}, "links": {}, "next": following})


def test_pages_are_walked_with_the_arguments_the_host_tells(python: Image) -> None:
    outcome = python.run("[page async for page in codemode.a.list.pages(q='x')]", handler=three_pages)
    assert outcome.value == [[1], [2], [3]]
    asked = [call.payload for call in outcome.host.submitted]
    assert asked == [{"q": "x"}, {"q": "x", "page": 2}, {"q": "x", "page": 3}]
    assert {call.name for call in outcome.host.submitted} == {"a.list.response"}


def test_pages_that_repeat_themselves_end(python: Image) -> None:
    def same(_: Submitted) -> Reply:
        return Reply(value={"data": 1, "status": 200, "headers": {}, "links": {}, "next": {"page": 9}})

    assert python.run("[page async for page in codemode.a.list.pages()]", handler=same).value == [1, 1]


def test_a_whole_response(python: Image) -> None:
    code = "(await codemode.a.list.response(page=3))['next'] is None"
    assert python.run(code, handler=three_pages).value is True


@pytest.mark.parametrize(
    ("code", "name", "payload"),
    [
        ("codemode.tools()", "lockgate.tools", {}),
        (
            "codemode.search('issues', limit=3)",
            "lockgate.search",
            {"query": "issues", "language": "python", "limit": 3},
        ),
        ("codemode.describe(['a.b'])", "lockgate.describe", {"names": ["a.b"], "language": "python"}),
    ],
)
def test_the_catalog_is_asked_by_calls(python: Image, code: str, name: str, payload: dict[str, Any]) -> None:
    outcome = python.run(f"await {code}", handler=echo)
    assert outcome.host.submitted == [Submitted(1, 1, name, payload)]


@pytest.mark.parametrize(("told", "there"), [({}, False), ({"retry_after": 2.5}, True)])
def test_retry_after_is_there_only_when_the_host_told_it(python: Image, told: dict[str, Any], there: bool) -> None:
    code = "try:\n    await codemode.a.b()\nexcept ToolError as e:\n    r = [e.retry_after, 'retry_after' in e.as_dict()]\nr"
    outcome = python.run(code, handler=lambda _: Reply(error={**FAILURE, **told}))
    assert outcome.value == [told.get("retry_after"), there]


@pytest.mark.parametrize("message", ["a.b: no such invoice", "no such invoice"])
def test_an_error_names_its_tool_once(python: Image, message: str) -> None:
    error = {"code": "upstream_error", "message": message, "status": 404, "retryable": False, "tool": "a.b"}
    code = "try:\n    await codemode.a.b()\nexcept ToolError as e:\n    r = str(e)\nr"
    outcome = python.run(code, handler=lambda _: Reply(error=error))
    assert outcome.value == "a.b: no such invoice (upstream_error, status 404)"
