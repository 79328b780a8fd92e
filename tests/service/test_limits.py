"""Every limit ends a program in its own status, with the limit and its value; the service goes on."""

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from tests.service.programs import run

JS, PY = "javascript", "python"

ENDINGS = {
    "js cpu": (JS, "for (;;);", pb.STATUS_LIMIT_CPU, "cpu_ms", 400),
    "py cpu": (PY, "while True: pass", pb.STATUS_LIMIT_CPU, "cpu_ms", 400),
    "js wall": (JS, "await new Promise((r) => setTimeout(r, 60000))", pb.STATUS_LIMIT_WALL, "wall_ms", 300),
    "py wall": (PY, "import time\ntime.sleep(60)", pb.STATUS_LIMIT_WALL, "wall_ms", 300),
    "py async wall": (PY, "import asyncio\nawait asyncio.sleep(60)", pb.STATUS_LIMIT_WALL, "wall_ms", 300),
    "js memory": (
        JS,
        "const a = []; for (;;) a.push(new Array(100000).fill(1))",
        pb.STATUS_LIMIT_MEMORY,
        "memory_bytes",
        96 << 20,
    ),
    "py memory": (
        PY,
        "a = []\nwhile True: a.append(bytearray(1000000))",
        pb.STATUS_LIMIT_MEMORY,
        "memory_bytes",
        96 << 20,
    ),
    "js lines": (JS, "for (let i = 0; i < 1e6; i++) console.log(i)", pb.STATUS_LIMIT_OUTPUT, "log_lines", 50),
    "py lines": (PY, "while True: print(1)", pb.STATUS_LIMIT_OUTPUT, "log_lines", 50),
    "js bytes": (JS, "for (;;) console.log('x'.repeat(500))", pb.STATUS_LIMIT_OUTPUT, "log_bytes", 16 << 10),
    "py bytes": (PY, "while True: print('x' * 500)", pb.STATUS_LIMIT_OUTPUT, "log_bytes", 16 << 10),
    "js result": (JS, "'x'.repeat(10000)", pb.STATUS_LIMIT_RESULT, "result_bytes", 4_096),
    "py result": (PY, "'x' * 10000", pb.STATUS_LIMIT_RESULT, "result_bytes", 4_096),
    "js stack": (JS, "function f() { return f() + 1 } f()", pb.STATUS_LIMIT_STACK, "stack", 0),
    "py stack": (PY, "def f(): return f() + 1\nf()", pb.STATUS_LIMIT_STACK, "stack", 0),
    "py trapped stack": (PY, "import json\njson.loads('[' * 100000)", pb.STATUS_LIMIT_STACK, "stack", 0),
    "js host calls": (
        JS,
        "for (;;) await codemode.ledger.getTotals({})",
        pb.STATUS_LIMIT_HOST_CALLS,
        "host_calls",
        8,
    ),
    "py host calls": (
        PY,
        "while True: await codemode.ledger.getTotals()",
        pb.STATUS_LIMIT_HOST_CALLS,
        "host_calls",
        8,
    ),
}


@pytest.mark.parametrize(("language", "code", "status", "limit", "value"), ENDINGS.values(), ids=ENDINGS)
async def test_a_limit_ends_a_program(client: Client, language, code, status, limit, value):
    limits = {"wall_ms": 300} if limit == "wall_ms" else {}
    execution = await run(client, code, language, limits=limits)
    assert pb.Status.Name(execution.status) == pb.Status.Name(status)
    assert execution.error.limit == limit
    assert execution.error.limit_value == value
    assert not execution.result_json
    after = await run(client, "1 + 1")
    assert after.result_json == "2"


CAUGHT = {
    "js cpu": (JS, "for (;;) { try { for (;;); } catch {} }", pb.STATUS_LIMIT_CPU),
    "py cpu": (PY, "while True:\n  try:\n    while True: pass\n  except BaseException: pass", pb.STATUS_LIMIT_CPU),
    "js output": (JS, "for (;;) { try { console.log('x') } catch {} }", pb.STATUS_LIMIT_OUTPUT),
    "py output": (PY, "while True:\n  try: print(1)\n  except BaseException: pass", pb.STATUS_LIMIT_OUTPUT),
}


@pytest.mark.parametrize(("language", "code", "status"), CAUGHT.values(), ids=CAUGHT)
async def test_a_program_cannot_catch_its_end(client: Client, language, code, status):
    execution = await run(client, code, language)
    assert pb.Status.Name(execution.status) == pb.Status.Name(status)


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (JS, "try { const a = []; for (;;) a.push(new Array(100000).fill(1)) } catch { 'caught' }"),
        (PY, "try:\n  a = []\n  while True: a.append(bytearray(1000000))\nexcept MemoryError:\n  a = None\n'caught'"),
    ],
    ids=[JS, PY],
)
async def test_a_program_can_catch_exhausted_memory(client: Client, language, code):
    execution = await run(client, code, language)
    assert execution.result_json == '"caught"', execution.error


@pytest.mark.parametrize(
    ("language", "code"),
    [
        (
            JS,
            "let n = 0; for (let i = 0; i < 20; i++) { try { await codemode.ledger.getTotals({}); n++ }"
            " catch (e) { if (e.code !== 'limit') throw e } } n",
        ),
        (
            PY,
            "n = 0\nfor i in range(20):\n  try:\n    await codemode.ledger.getTotals()\n    n += 1\n"
            "  except ToolError as e:\n    assert e.code == 'limit', e.code\nn",
        ),
    ],
    ids=[JS, PY],
)
async def test_a_program_can_catch_one_host_call_too_many(client: Client, language, code):
    execution = await run(client, code, language)
    assert execution.result_json == "8", execution.error
    assert len(execution.host_calls) == 8


async def test_a_long_log_line_is_cut_not_refused(client: Client):
    execution = await run(client, "console.log('x'.repeat(5000)); 1")
    assert execution.status == pb.STATUS_SUCCEEDED
    (line,) = execution.logs
    assert len(line.text) <= 512


async def test_a_request_gets_what_it_asks_for_up_to_the_ceiling(client: Client):
    asked = {"log_lines": 60, "cpu_ms": 100}
    execution = await run(client, "for (let i = 0; i < 58; i++) console.log(i)", limits=asked)
    assert execution.status == pb.STATUS_SUCCEEDED
    assert len(execution.logs) == 58
    told = {name: (limit.value, limit.source) for name, limit in execution.limits.items()}
    assert told["log_lines"] == (60, "request")
    assert told["cpu_ms"] == (100, "request")
    assert told["wall_ms"] == (10_000, "profile")
    assert told["source_bytes"] == (256 << 10, "service")
    with pytest.raises(grpc.aio.AioRpcError, match="log_lines 61 is more than 60"):
        await run(client, "1", limits={"log_lines": 61})


_JS = "let said; try { %s } catch (e) { said = [e.code, e.details.limit, e.details.value] } said"
_PY = "said = None\ntry:\n  %s\nexcept ToolError as e:\n  said = [e.code, e.details['limit'], e.details['value']]\nsaid"
GIVEN = {
    "files": (1, {JS: "await emit('a', 'x'); await emit('b', 'x')", PY: "await emit('a', 'x'); await emit('b', 'x')"}),
    "file_bytes": (2, {JS: "await emit('a', 'xx'); await emit('b', 'xxx')", PY: "await emit('b', 'xxx')"}),
    "files_bytes": (3, {JS: "await emit('a', 'xx'); await emit('b', 'xx')", PY: "await emit('b', 'xxxx')"}),
    "store_keys": (1, {JS: "await store.set('a', 1); await store.set('b', 1)", PY: "await store.set('c', 1)"}),
    "store_value_bytes": (9, {JS: "await store.set('a', 'x'.repeat(7))", PY: "await store.set('a', 'x' * 7)"}),
    "store_bytes": (12, {JS: "await store.set('a', 'x'.repeat(12))", PY: "await store.set('a', 'x' * 12)"}),
}


@pytest.mark.parametrize(("limit", "value", "codes"), [(limit, *case) for limit, case in GIVEN.items()], ids=GIVEN)
async def test_files_and_stores_have_the_limits_of_the_request(client: Client, limit, value, codes):
    for language, wrapped in ((JS, _JS), (PY, _PY)):
        execution = await run(
            client, wrapped % codes[language], language, limits={limit: value}, session_id=f"limit-{limit}"
        )
        assert execution.result_json == f'["limit","{limit}",{value}]', (language, execution.error)
        assert (execution.limits[limit].value, execution.limits[limit].source) == (value, "request")
        assert execution.limits["file_bytes" if limit == "files" else "files"].source == "service"


async def test_a_request_gets_no_more_files_than_its_profile_has(client: Client):
    with pytest.raises(grpc.aio.AioRpcError, match="files 21 is more than 20"):
        await run(client, "1", limits={"files": 21})
