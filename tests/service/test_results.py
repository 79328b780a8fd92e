"""Results that are cut and kept, files, and the store, over gRPC and in both languages."""

import hashlib
import json
from typing import Any

import grpc
import pytest

from runtime.client import Client, Context
from runtime.rpc import runtime_pb2 as pb
from sandboxes.limits import Limits
from tests.service.programs import request, run

JS, PY = "javascript", "python"
BOTH = pytest.mark.parametrize("language", [JS, PY])
ROWS = {
    JS: "({rows: Array.from({length: 300}, (_, id) => ({id})), note: 'all'})",
    PY: "{'rows': [{'id': n} for n in range(300)], 'note': 'all'}",
}
ELSE = Context(actor="tester", owner="somebody else", environment="dev", reason="a test", expires_in_s=120)


def value(execution: pb.Execution) -> Any:
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    return json.loads(execution.result_json)


@BOTH
async def test_a_large_result_is_cut_and_kept_whole(client: Client, language):
    execution = await run(client, ROWS[language], language, inline_bytes=400)
    shown = value(execution)
    assert len(execution.result_json) <= 400
    assert shown["note"] == "all"
    (left,) = execution.result_cut.omitted
    assert (left.path, left.kind, left.shown + left.left_out) == ("/rows", "items", 300)
    assert shown["rows"][-1] == f"... {left.left_out} more items"
    handle = execution.result_cut.handle
    whole = await client.result(handle, owner="tests")
    assert (whole.kind, whole.total) == ("object", 2)
    assert json.loads(whole.value_json)["rows"] == [{"id": n} for n in range(300)]
    assert execution.result_cut.total_bytes == len(whole.value_json)
    some = await client.result(handle, owner="tests", path="/rows", offset=298, limit=5)
    assert (json.loads(some.value_json), some.total) == ([{"id": 298}, {"id": 299}], 300)
    again = await client.result(handle, owner="tests", most_bytes=256)
    assert again.omitted[0].left_out > 0
    assert len(again.value_json) <= 256


@BOTH
async def test_the_next_program_finds_it(client: Client, language):
    first = await run(client, ROWS[language], language, inline_bytes=256)
    handle = first.result_cut.handle
    code = {
        JS: """[(await results[inputs]).rows.length, (await results.get(inputs, {path: '/rows', offset: 299}))[0].id,
            await results.get(inputs, {path: '/nope'}).catch((e) => [e.code, e.message]), results.other ?? null]""",
        PY: """async def nope():
    try:
        return await results.get(inputs, '/nope')
    except ToolError as e:
        return [e.code, e.message]
last = (await results.get(inputs, path='/rows', offset=299))[0]
[len((await results[inputs])['rows']), last['id'], await nope(), None]""",
    }[language]
    rows, last, failed, other = value(await run(client, code, language, inputs=handle))
    assert (rows, last, other) == (300, 299, None)
    assert failed[0] == "not_found"
    assert "there are rows, note" in failed[1]


@BOTH
async def test_a_guessed_or_known_handle_of_another_owner_is_not_found(client: Client, language):
    handle = (await run(client, ROWS[language], language, inline_bytes=256)).result_cut.handle
    code = {
        JS: "await results[inputs].catch((e) => e.code)",
        PY: "try:\n  found = await results[inputs]\nexcept ToolError as e:\n  found = e.code\nfound",
    }[language]
    assert value(await run(client, code, language, inputs=handle, context=ELSE)) == "not_found"
    guess = handle[:-1] + ("0" if handle[-1] != "0" else "1")
    assert value(await run(client, code, language, inputs=guess)) == "not_found"
    for owner, asked in (("somebody else", handle), ("tests", guess)):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await client.result(asked, owner=owner)
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        assert "300" not in error.value.details()


async def test_what_is_asked_of_a_result_is_checked(client: Client):
    handle = (await run(client, ROWS[JS], inline_bytes=256)).result_cut.handle
    for wrong, said in (
        ({"owner": ""}, "owner: is required"),
        ({"offset": -1}, "offset: is negative"),
        ({"most_bytes": 10}, "most_bytes: is 10"),
        ({"path": "rows"}, "expected a JSON Pointer"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await client.result(handle, **{"owner": "tests", **wrong})
        assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert said in error.value.details()
    with pytest.raises(grpc.aio.AioRpcError, match="inline_bytes: is 10"):
        await run(client, "1", inline_bytes=10)


async def test_a_small_result_is_not_cut(client: Client):
    execution = await run(client, "'x'.repeat(100)", inline_bytes=256)
    assert not execution.HasField("result_cut")
    assert value(execution) == "x" * 100


EMIT = {
    JS: """const made = await emit('a b.png', new Uint8Array([0, 255, 10]), 'image/png');
        await emit('note.txt', 'é'); made""",
    PY: "made = await emit('a b.png', bytes([0, 255, 10]), 'image/png')\nawait emit('note.txt', 'é')\nmade",
}


@BOTH
async def test_emitted_files_come_with_their_digest(client: Client, language):
    execution = await run(client, EMIT[language], language)
    digest = hashlib.sha256(b"\x00\xff\n").hexdigest()
    assert value(execution) == {"name": "a b.png", "type": "image/png", "bytes": 3, "sha256": digest}
    image, note = execution.files
    assert (image.number, image.name, image.type, image.data, image.sha256) == (
        1, "a b.png", "image/png", b"\x00\xff\n", digest,
    )  # fmt: skip
    assert (note.name, note.type, note.data) == ("note.txt", "text/plain", "é".encode())
    events = [event async for event in client.stream(request(EMIT[language], language))]
    assert [event.file.name for event in events if event.HasField("file")] == ["a b.png", "note.txt"]
    assert not events[-1].finished.files


BAD_FILES = {
    "no name": ("emit('', 'x')", "name: expected"),
    "a line break": (r"emit('a\nb', 'x')", "name: expected"),
    "no type": ("emit('a', 'x', 'nonsense')", 'such as "image/png"'),
    "no bytes": ("emit('a', 5)", "emit(name, data, type)"),
}


@BOTH
@pytest.mark.parametrize(("call", "said"), BAD_FILES.values(), ids=BAD_FILES)
async def test_a_wrong_file_is_an_error_that_says_what_is_wrong(client: Client, language, call, said):
    execution = await run(client, f"await {call}", language)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert said in execution.error.message
    assert not execution.files
    assert not execution.error.side_effects_possible


@BOTH
async def test_a_flood_of_files_is_bounded_and_can_be_caught(client: Client, language):
    most = Limits().files + 4
    code = {
        JS: f"""let last; for (let i = 0; i < {most}; i++) {{ try {{ await emit('f' + i, 'x') }}
            catch (e) {{ last = [e.code, e.details, i] }} }} last""",
        PY: f"last = None\nfor i in range({most}):\n  try:\n    await emit(f'f{{i}}', 'x')\n"
        "  except ToolError as e:\n    last = [e.code, e.details, i]\nlast",
    }[language]
    execution = await run(client, code, language, profile="standard")
    assert value(execution) == ["limit", {"limit": "files", "value": most - 4}, most - 1]
    assert len(execution.files) == most - 4


@BOTH
async def test_large_files_are_bounded_one_by_one_and_together(client: Client, language):
    code = {
        JS: """const said = []; const big = 'x'.repeat(900_000);
            for (let i = 0; i < 10; i++) await emit('f' + i, big).catch((e) => said.push(e.details.limit));
            await emit('g', 'x'.repeat(2_000_000)).catch((e) => said.push(e.code)); said""",
        PY: "said = []\nfor i in range(10):\n  try:\n    await emit(f'f{i}', 'x' * 900_000)\n"
        "  except ToolError as e:\n    said.append(e.details['limit'])\n"
        "try:\n  await emit('g', 'x' * 2_000_000)\nexcept ToolError as e:\n  said.append(e.code)\nsaid",
    }[language]
    execution = await run(client, code, language, profile="standard")
    assert value(execution) == ["files_bytes", "limit"]
    assert sum(len(file.data) for file in execution.files) == 9 * 900_000


STORE = {
    JS: """await store.set('seen', {n: ((await store.get('seen'))?.n ?? 0) + 1}); await store.set('gone', 1);
        [await store.get('seen'), await store.keys(), await store.delete('gone'), await store.get('gone') ?? null]""",
    PY: """await store.set('seen', {'n': (await store.get('seen', {'n': 0}))['n'] + 1})
await store.set('gone', 1)
[await store.get('seen'), await store.keys(), await store.delete('gone'), await store.get('gone')]""",
}


@BOTH
async def test_programs_of_one_session_share_a_store(client: Client, language):
    for count in (1, 2):
        told = value(await run(client, STORE[language], language, session_id=f"s-{language}"))
        assert told == [{"n": count}, ["seen", "gone"], True, None]
    other = value(await run(client, STORE[language], language, session_id=f"other-{language}"))
    assert other[0] == {"n": 1}
    else_ = value(await run(client, STORE[language], language, session_id=f"s-{language}", context=ELSE))
    assert else_[0] == {"n": 1}


@BOTH
async def test_without_a_session_there_is_no_store(client: Client, language):
    execution = await run(client, "await store.get('a')", language)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert "session_id" in execution.error.message


@BOTH
async def test_a_flood_of_the_store_is_bounded_and_can_be_caught(client: Client, language):
    code = {
        JS: """let last; for (let i = 0; i < 100; i++)
            await store.set('k' + i, 'x'.repeat(60_000)).catch((e) => last = e.details); last""",
        PY: "last = None\nfor i in range(100):\n  try:\n    await store.set(f'k{i}', 'x' * 60_000)\n"
        "  except ToolError as e:\n    last = e.details\nlast",
    }[language]
    told = value(await run(client, code, language, profile="standard", session_id=f"flood-{language}"))
    assert told == {"limit": "store_bytes", "value": 1 << 20}


async def test_a_stream_has_a_store_of_its_own(client: Client):
    async with client.session() as session:
        assert value(await session.run(request("await store.set('a', 1); await store.get('a')"))) == 1
        assert value(await session.run(request("await store.get('a')"))) == 1
    async with client.session() as session:
        assert value(await session.run(request("await store.keys()"))) == []


NAMES = {
    JS: "const results = [1]; let store = 2; function emit() { return 3 } [results, store, emit()]",
    PY: "results = [1]\nstore = 2\ndef emit(): return 3\n[results, store, emit()]",
}


@BOTH
async def test_a_program_may_use_the_names_for_something_else(client: Client, language):
    assert value(await run(client, NAMES[language], language)) == [[1], 2, 3]


async def test_how_they_print(client: Client):
    code = "[`${results}`, String(store), Object.keys(results), results.then ?? null]"
    assert value(await run(client, code)) == ["[object results]", "[object store]", [], None]
    assert "await results[handle]" in value(await run(client, "[repr(results), repr(store)]", PY))[0]
