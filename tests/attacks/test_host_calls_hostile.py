"""What the gateway does with host calls that only a hostile guest, or a hostile worker, makes."""

# ruff: noqa: ARG002 (protocols have more parameters than these doubles use)

import asyncio
import json
import time
from typing import Any

import pytest

from runtime.execution.caller import Caller
from runtime.execution.execution import Execution, Program
from runtime.execution.host_calls import FETCH, LEAST_WAITING_BYTES, TOOL, Answer, HostCalls
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.service.convert import execution_message
from runtime.worker.frames import Call
from sandboxes.bounded_json import MOST_VALUES
from sandboxes.limits import Limits
from sandboxes.profile import Profile

LIMITS = Limits(host_calls=50, parallel_host_calls=2, call_bytes=4 << 20)


class Recorder:
    """Tools and fetcher at once; answers when it is let."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self.go = asyncio.Event()
        self.go.set()
        self.writes = False
        self.error: HostCallError | None = None

    def read_only(self, name: str, session: str = "") -> bool:
        return not self.writes

    def repeatable(self, name: str, session: str = "") -> bool:
        return not self.writes

    def check(self, name: str, context: CallContext) -> None:
        """There is every tool."""

    async def call(self, name: str, arguments: dict[str, Any], context: CallContext) -> Answer:
        return await self._take(arguments)

    async def fetch(self, request: dict[str, Any], context: CallContext, rules: str) -> Answer:
        return await self._take(request)

    async def _take(self, value: dict[str, Any]) -> Answer:
        self.seen.append(value)
        await self.go.wait()
        if self.error is not None:
            raise self.error
        return Answer(payload="1")


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def execution() -> Execution:
    profile = Profile(name="p", version=1, languages=("python",), environments=("dev",), limits=LIMITS)
    caller = Caller(principal="p", actor="a", owner="o", environment="dev", reason="r", expires_at=time.time() + 60)
    program = Program(
        code="1", language="python", inputs="null", profile=profile, limits=LIMITS, limit_sources={}, caller=caller
    )
    return Execution(program=program, image_digest="sha256:0")


@pytest.fixture
def calls(execution: Execution, recorder: Recorder) -> HostCalls:
    context = CallContext(
        execution_id="exe_0",
        actor="a",
        environment="dev",
        token=lambda _: "token",
        deadline=time.monotonic() + 60,
        max_response_bytes=1_000,
    )
    return HostCalls(execution, context, recorder, recorder)


async def code_of(calls: HostCalls, call: Call) -> str:
    ok, payload = await calls.perform(call)
    return "ok" if ok else json.loads(payload)["code"]


REFUSED = {
    "no JSON": (TOOL, "x"),
    "no object": (TOOL, "[1]"),
    "too deep": (TOOL, '{"a":' * 100_000),
    "too many values": (TOOL, '{"a":[' + "[]," * MOST_VALUES + "1]}"),
    "too many numbers": (FETCH, '{"a":[' + "1," * MOST_VALUES + "1]}"),
    "a huge integer": (TOOL, '{"a":' + "9" * 100_000 + "}"),
    "a kind that does not exist": (3, "{}"),
    "the last kind": (255, "{}"),
    "quotes without end": (TOOL, '\\"' * 1_000_000),
}


@pytest.mark.parametrize(("kind", "payload"), REFUSED.values(), ids=REFUSED)
async def test_arguments_that_are_none_are_refused(calls: HostCalls, recorder: Recorder, kind: int, payload: str):
    assert await code_of(calls, Call(1, kind, "x.y", payload)) == "invalid_argument"
    assert not recorder.seen


async def test_text_with_many_commas_is_one_value(calls: HostCalls, recorder: Recorder):
    text = 'a,"b",[{' * MOST_VALUES
    assert await code_of(calls, Call(1, TOOL, "x.y", json.dumps({"a": text}))) == "ok"
    assert recorder.seen == [{"a": text}]


SURROGATES = {
    "half a pair": ('{"url": "http://\\ud800/"}', {"url": "http://\ufffd/"}),
    "the other half": ('{"url": "\\uDFFF"}', {"url": "\ufffd"}),
    "the wrong way round": ('{"url": "\\udc00\\ud800"}', {"url": "\ufffd\ufffd"}),
    "a pair": ('{"url": "\\ud83d\\ude00"}', {"url": "\U0001f600"}),
    "a pair and a half": ('{"url": "\\ud83d\\ude00\\ude00"}', {"url": "\U0001f600\ufffd"}),
    "in a name": ('{"url": "", "\\ud800": 1}', {"url": "", "\ufffd": 1}),
    "an escaped backslash": ('{"url": "\\\\ud800"}', {"url": "\\ud800"}),
}


@pytest.mark.parametrize(("payload", "arguments"), SURROGATES.values(), ids=SURROGATES)
async def test_half_a_surrogate_pair_goes_no_further(
    calls: HostCalls, recorder: Recorder, execution: Execution, payload: str, arguments: dict[str, Any]
):
    assert await code_of(calls, Call(1, FETCH, "", payload)) == "ok"
    assert recorder.seen == [arguments]
    assert execution_message(execution).SerializeToString()


@pytest.mark.parametrize("value", [1, None, [[]], {}, True, 1e400])
async def test_a_fetch_of_no_text_is_recorded_as_such(calls: HostCalls, execution: Execution, value: object):
    await calls.perform(Call(1, FETCH, "", json.dumps({"url": value, "method": value})))
    assert execution.calls[0].target == "- -"


async def test_calls_beyond_the_limit_leave_no_record(calls: HostCalls, execution: Execution):
    codes = [await code_of(calls, Call(n, TOOL, "x.y", "{}")) for n in range(LIMITS.host_calls + 20)]
    assert codes == ["ok"] * LIMITS.host_calls + ["limit"] * 20
    assert len(execution.calls) == LIMITS.host_calls
    assert len(execution.happenings) == 2 * LIMITS.host_calls


async def test_payloads_that_wait_are_bounded(calls: HostCalls, recorder: Recorder):
    recorder.go.clear()
    payload = json.dumps({"a": "x" * (3 << 20)})
    running = [asyncio.create_task(code_of(calls, Call(n, TOOL, "x.y", payload))) for n in range(40)]
    most = LEAST_WAITING_BYTES // len(payload)
    while sum(task.done() for task in running) < 40 - most:
        await asyncio.sleep(0)
    assert len(recorder.seen) == LIMITS.parallel_host_calls
    recorder.go.set()
    codes = await asyncio.gather(*running)
    assert codes == ["ok"] * most + ["limit"] * (40 - most)


SENT = {
    "down before anything was sent": ("unavailable", {"sent": False}, False),
    "down when it may have been": ("unavailable", {"sent": True}, True),
    "down, and nobody knows": ("unavailable", None, True),
    "in no time": ("timeout", {"sent": True}, True),
    "denied": ("denied", None, False),
    "an answer too large": ("limit", {"limit": "response_bytes"}, True),
}


@pytest.mark.parametrize(("code", "details", "possible"), SENT.values(), ids=SENT)
async def test_side_effects_are_possible_only_of_what_was_sent(
    calls: HostCalls, recorder: Recorder, execution: Execution, code: Any, details: Any, possible: bool
):
    recorder.writes, recorder.error = True, HostCallError(code, "no", details=details)
    assert await code_of(calls, Call(1, TOOL, "x.y", "{}")) == code
    assert execution.side_effects_possible() == possible


async def test_a_call_whose_turn_has_not_come_has_no_side_effects(
    calls: HostCalls, recorder: Recorder, execution: Execution
):
    recorder.writes = True
    await code_of(calls, Call(1, TOOL, "x.y", "no JSON"))
    await code_of(calls, Call(2, TOOL, "x.y", '{"a": "' + "x" * LIMITS.call_bytes + '"}'))
    assert not execution.side_effects_possible()
    recorder.go.clear()
    task = asyncio.create_task(calls.perform(Call(3, TOOL, "x.y", "{}")))
    while not recorder.seen:
        await asyncio.sleep(0)
    assert execution.side_effects_possible()
    recorder.go.set()
    await task
