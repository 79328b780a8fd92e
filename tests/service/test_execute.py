"""Programs end to end: what comes back, in both languages."""

import json

import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from tests.cell import TestCell
from tests.service.programs import request, run, texts

RETURNS = {
    "js expression": ("javascript", "1 + 1", 2),
    "js return": ("javascript", "return {a: inputs.x}", {"a": 5}),
    "js await": ("javascript", "const x = await Promise.resolve(3); x * 2", 6),
    "js default export": ("javascript", "export default async (inputs) => inputs.x", 5),
    "js function": ("javascript", "async () => 7", 7),
    "js nothing": ("javascript", "const x = 1;", None),
    "py expression": ("python", "1 + 1", 2),
    "py return": ("python", "return {'a': inputs['x']}", {"a": 5}),
    "py main": ("python", "async def main():\n    return 7", 7),
    "py statements": ("python", "x = 1", None),
}


@pytest.mark.parametrize(("language", "code", "value"), RETURNS.values(), ids=RETURNS)
async def test_the_value_of_a_program(client: Client, language, code, value):
    execution = await run(client, code, language, inputs={"x": 5})
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    assert json.loads(execution.result_json) == value


@pytest.mark.parametrize("code", ["const x = 2; x", "import math\nmath.floor(2.5)"])
async def test_the_language_is_detected(client: Client, code):
    execution = await run(client, code, "")
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    assert execution.result_json == "2"


async def test_a_reply_says_everything(client: Client):
    execution = await run(client, "console.log('hi'); await fetch('http://nowhere.test.internal/').catch(() => 0); 1")
    assert execution.id.startswith("exe_")
    assert execution.status == pb.STATUS_SUCCEEDED
    assert execution.language == pb.LANGUAGE_JAVASCRIPT
    assert execution.profile == "tests"
    assert execution.profile_digest.startswith("sha256:")
    assert execution.image_digest.startswith("sha256:")
    assert execution.context.actor == "tester"
    assert execution.limits["cpu_ms"] == pb.EffectiveLimit(value=400, source="profile")
    assert execution.usage.cpu_us > 0
    assert execution.usage.wall_us >= execution.usage.active_us > 0
    assert execution.usage.peak_memory_bytes > 1 << 20
    assert execution.usage.peak_memory_exact
    assert execution.usage.host_calls == 1
    assert execution.usage.bytes_out > 0
    assert execution.timings.run_us > 0
    assert execution.created_at.seconds <= execution.ended_at.seconds
    (line,) = execution.logs
    assert (line.number, line.level, line.text) == (1, pb.LOG_LEVEL_INFO, "hi")
    (call,) = execution.host_calls
    assert (call.number, call.kind, call.outcome) == (1, "fetch", "denied")
    assert call.target == "GET http://nowhere.test.internal/"


async def test_a_request_narrows_a_limit_and_the_reply_says_so(client: Client):
    execution = await run(client, "1", limits={"cpu_ms": 50})
    assert execution.limits["cpu_ms"] == pb.EffectiveLimit(value=50, source="request")
    assert execution.limits["wall_ms"].source == "profile"


@pytest.mark.parametrize(
    ("language", "code", "name", "line", "column"),
    [
        ("javascript", "const a = 1;\n  null.x", "TypeError", 2, 3),
        ("python", "a = 1\nb = {}['x']", "KeyError", 2, None),
        ("javascript", "let x = ;", "SyntaxError", 1, 9),
        ("python", "x = 1\nif x\n  pass", "SyntaxError", 2, 5),
    ],
)
async def test_an_error_is_told_with_its_place(client: Client, language, code, name, line, column):
    execution = await run(client, code, language)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert execution.error.name == name
    assert execution.error.line == line
    assert execution.error.source_line.strip() == code.splitlines()[line - 1].strip()
    if column is not None:
        assert execution.error.column == column


async def test_levels_and_numbers_of_log_lines(client: Client):
    code = "console.debug('a'); console.log('b'); console.warn('c'); console.error('d')"
    execution = await run(client, code)
    assert [(line.number, line.level, line.text) for line in execution.logs] == [
        (1, 1, "a"),
        (2, 2, "b"),
        (3, 3, "c"),
        (4, 4, "d"),
    ]


@pytest.mark.parametrize(
    ("language", "code"), [("javascript", "console.log('x\\ud800y')"), ("python", "print('x\\ud800y')")]
)
async def test_broken_unicode_in_a_log_line_is_repaired(client: Client, language, code):
    execution = await run(client, code, language)
    assert texts(execution) in (["x\ufffdy"], ["x?y"])


async def test_two_executions_share_nothing(client: Client):
    await run(client, "globalThis.left = 1; Array.prototype.left = 2")
    execution = await run(client, "[typeof left, [].left === undefined]")
    assert json.loads(execution.result_json) == ["undefined", True]


@pytest.mark.parametrize(
    ("language", "code"),
    [
        ("javascript", "[Math.random(), crypto.randomUUID()]"),
        ("python", "import random, uuid\n[random.random(), str(uuid.uuid4())]"),
    ],
)
async def test_two_executions_draw_different_random_numbers(client: Client, language, code):
    first, second = [json.loads((await run(client, code, language)).result_json) for _ in range(2)]
    assert first[0] != second[0]
    assert first[1] != second[1]


async def test_a_stream_tells_what_happens_in_order(client: Client, cell: TestCell):
    code = f"console.log('before'); await fetch('{cell.site}/rates.json'); console.log('after'); 3"
    events = [event async for event in client.stream(request(code))]
    kinds = [event.WhichOneof("event") for event in events]
    assert kinds == ["accepted", "started", "log", "call_started", "call_ended", "log", "finished"]
    finished = events[-1].finished
    assert finished.id == events[0].accepted.execution_id
    assert finished.result_json == "3"
    assert not finished.logs
    assert events[4].call_ended.outcome == "ok"
    assert events[4].call_ended.http_status == 200


MEMORY = {
    "javascript": ("const a = new Uint8Array(30 << 20); a.fill(1); a.length", "0"),
    "python": ("len(bytearray(b'x') * (30 << 20))", "0"),
}


@pytest.mark.parametrize("language", MEMORY)
async def test_peak_memory_is_measured_in_both_languages(client: Client, language):
    large, small = [(await run(client, code, language)).usage for code in MEMORY[language]]
    assert large.peak_memory_exact
    assert small.peak_memory_exact
    assert 1 << 20 < small.peak_memory_bytes < large.peak_memory_bytes <= 96 << 20
    assert large.peak_memory_bytes - small.peak_memory_bytes >= 20 << 20


async def test_the_memory_of_a_stopped_python_program_is_known_too(client: Client):
    stopped = await run(client, "while True: pass", "python", limits={"cpu_ms": 20})
    assert stopped.status == pb.STATUS_LIMIT_CPU
    assert stopped.usage.peak_memory_bytes > 16 << 20
    assert stopped.usage.peak_memory_exact
