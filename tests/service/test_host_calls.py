"""Host calls end to end: tools of both upstreams and fetches, their errors, and that they really run in parallel."""

import json
import time

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from tests.cell import LEDGER_TOKEN, TestCell
from tests.service.programs import run

JS, PY = "javascript", "python"
BOTH = pytest.mark.parametrize("language", [JS, PY])


def value(execution: pb.Execution):
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    return json.loads(execution.result_json)


@BOTH
async def test_a_tool_of_an_openapi_upstream(client: Client, language):
    code = {
        JS: "(await codemode.ledger.getAccount({account_id: 'acc_1'})).owner",
        PY: "(await codemode.ledger.getAccount(account_id='acc_1'))['owner']",
    }[language]
    execution = await run(client, code, language)
    assert value(execution) == "ada"
    (call,) = execution.host_calls
    assert (call.kind, call.target, call.outcome, call.http_status) == ("tool", "ledger.getAccount", "ok", 200)
    assert call.read_only
    assert call.credential == "ledger-token -> authorization: Bearer ***"
    assert call.bytes_in > 0


@BOTH
async def test_a_tool_of_an_mcp_upstream(client: Client, language):
    code = {
        JS: "(await codemode.notes.read_note({title: 'rates'})).text",
        PY: "(await codemode.notes.read_note(title='rates'))['text']",
    }[language]
    assert "1.10" in value(await run(client, code, language))


FAILURES = {
    "unknown tool": ("ledger.listAcounts", {}, "not_found", None, "ledger.listAccounts"),
    "unknown upstream": ("lodger.listAccounts", {}, "not_found", None, "the upstreams are"),
    "wrong argument": ("ledger.getAccount", {"account": "acc_1"}, "invalid_argument", None, "account_id"),
    "refused by the upstream": ("ledger.getAccount", {"account_id": "acc_99"}, "not_found", 404, "acc_99"),
    "isError": ("notes.read_note", {"title": "nope"}, "upstream_error", None, "nope"),
    "denied by the profile": ("notes.delete_note", {"title": "rates"}, "denied", None, "notes.delete*"),
    "broken upstream": ("broken.anything", {}, "unavailable", None, "broken"),
}


@BOTH
@pytest.mark.parametrize(("tool", "arguments", "code", "status", "text"), FAILURES.values(), ids=FAILURES)
async def test_a_failed_call_is_an_error_the_program_can_catch(
    client: Client, language, tool, arguments, code, status, text
):
    upstream, name = tool.split(".")
    program = {
        JS: f"""let kept = [1];
            try {{ await codemode.{upstream}.{name}(inputs) }}
            catch (e) {{ kept.push([e.name, e.code, e.status ?? null, e.message, e.retryable, e.tool]) }}
            kept""",
        PY: f"kept = [1]\ntry:\n  await codemode.{upstream}.{name}(**inputs)\nexcept ToolError as e:\n"
        "  kept.append([type(e).__name__, e.code, e.status, str(e), e.retryable, e.tool])\nkept",
    }[language]
    kept, error = value(await run(client, program, language, inputs=arguments))
    assert kept == 1
    assert error[:3] == ["ToolError", code, status]
    assert text in error[3]
    assert error[4] is False
    assert error[5] == tool


@BOTH
async def test_an_uncaught_failure_is_the_programs_error(client: Client, language):
    code = {JS: "await codemode.ledger.nope({})", PY: "await codemode.ledger.nope()"}[language]
    execution = await run(client, code, language)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert execution.error.name == "ToolError"
    assert execution.error.line == 1


@BOTH
async def test_calls_started_together_run_in_parallel(client: Client, cell: TestCell, language):
    code = {
        JS: f"""await Promise.all([1, 2, 3].map(() => fetch("{cell.site}/silent", {{signal: AbortSignal.timeout(300)}})
            .catch((e) => e.name)))""",
        PY: "import asyncio\nasync def one():\n  try:\n"
        f"    await fetch('{cell.site}/silent', timeout=0.3)\n  except Exception as e:\n    return type(e).__name__\n"
        "await asyncio.gather(one(), one(), one())",
    }[language]
    execution = await run(client, code, language)
    assert len(value(execution)) == 3
    calls = execution.host_calls
    assert len(calls) == 3
    last_started = max(call.started_us for call in calls)
    first_ended = min(call.started_us + (call.duration_us or 10**9) for call in calls)
    assert last_started < first_ended


FETCHES = {
    JS: {
        "json": "(await (await fetch('{site}/rates.json')).json()).base",
        "status": "(await fetch('{site}/status/418')).status",
        "post": "JSON.parse((await (await fetch('{site}/echo', {{method: 'POST', body: 'hi', headers: {{'x-a': 'b'}}}}"
        ")).json()).body === 'hi' ? '\"posted\"' : '0')",
        "redirect": "(await fetch('{site}/moved')).redirected",
        "bytes": "(await (await fetch('{site}/large/1000')).arrayBuffer()).byteLength",
    },
    PY: {
        "json": "(await (await fetch('{site}/rates.json')).json())['base']",
        "status": "(await fetch('{site}/status/418')).status",
        "post": "import requests\n'posted' if requests.post('{site}/echo', data='hi').json()['body'] == 'hi' else 0",
        "redirect": "(await fetch('{site}/moved')).redirected",
        "bytes": "import urllib.request\nlen(urllib.request.urlopen('{site}/large/1000').read())",
    },
}
EXPECTED = {"json": "EUR", "status": 418, "post": "posted", "redirect": True, "bytes": 1000}


@pytest.mark.parametrize("what", EXPECTED)
@BOTH
async def test_a_fetch_that_a_rule_allows(client: Client, cell: TestCell, language, what):
    code = FETCHES[language][what].format(site=cell.site)
    assert value(await run(client, code, language)) == EXPECTED[what]


@BOTH
async def test_a_fetch_that_no_rule_allows_is_refused_and_recorded(client: Client, cell: TestCell, language):
    code = {
        JS: f"try {{ await fetch('{cell.site}/leak') }} catch (e) {{ [e.code, e instanceof TypeError] }}",
        PY: f"try:\n  await fetch('{cell.site}/leak')\n  r = 0\nexcept Exception as e:\n  r = [e.code, True]\nr",
    }[language]
    execution = await run(client, code, language)
    assert value(execution) == ["denied", True]
    (call,) = execution.host_calls
    assert call.egress.startswith("denied: no rule allows GET /leak")
    event = await cell.egress_event(execution.id)
    assert (event["allowed"], event["path"], event["actor"]) == (False, "/leak", "tester")


async def test_a_redirect_to_a_private_address_is_refused(client: Client, cell: TestCell):
    code = f"try {{ await fetch('{cell.site}/elsewhere') }} catch (e) {{ e.code }}"
    assert value(await run(client, code)) == "denied"


async def test_the_service_itself_cannot_be_reached(client: Client, cell: TestCell):
    port = cell.address.rpartition(":")[2]
    code = f"try {{ await fetch('http://127.0.0.1:{port}/') }} catch (e) {{ e.code }}"
    assert value(await run(client, code)) == "denied"


async def test_an_answer_beyond_the_limit_is_refused_and_says_so(client: Client, cell: TestCell):
    code = (
        f"try {{ await fetch('{cell.site}/large/100000') }} catch (e) {{ [e.code, e.details.limit, e.details.value] }}"
    )
    assert value(await run(client, code)) == ["limit", "response_bytes", 65_536]


async def test_the_token_of_an_upstream_never_reaches_a_program(client: Client, cell: TestCell):
    code = "JSON.stringify(await codemode.ledger.listAccounts({})) + JSON.stringify(Object.keys(globalThis))"
    assert LEDGER_TOKEN not in value(await run(client, code))
    assert LEDGER_TOKEN not in cell.state.event_file.read_text()


async def test_an_upstream_that_comes_later_can_be_called_then(client: Client, cell: TestCell):
    before = await run(client, "try { await codemode.late.getTotals({}) } catch (e) { e.code }")
    assert value(before) == "unavailable"
    document = {
        "openapi": "3.1.0",
        "info": {"title": "Late", "version": "1"},
        "paths": {"/openapi.json": {"get": {"operationId": "document", "responses": {"200": {"description": "it"}}}}},
    }
    (cell.config_file.parent / "late.json").write_text(json.dumps(document))
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        after = await run(client, "try { (await codemode.late.document({})).openapi } catch (e) { e.code }")
        if value(after) not in ("unavailable", "not_found"):
            break
    assert value(after) == "3.1.0"


async def test_search_tells_what_a_profile_says(client: Client):
    for profile, said in (("", ""), ("tests", "deny")):
        found = await client.search("notes.delete_note", limit=1, profile=profile, environment="dev")
        assert found.tools[0].approval == said
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.search("notes.delete_note", profile="tets")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert 'there is no profile "tets"' in (refused.value.details() or "")


async def test_search_and_describe(client: Client):
    found = await client.search("open a new account")
    assert found.tools[0].name == "ledger.createAccount"
    assert not found.tools[0].read_only
    assert "codemode.ledger.createAccount(" in found.tools[0].signature
    assert {state.name: state.state for state in found.upstreams}["broken"] == "broken"
    described = await client.describe(["ledger.getAccount", "ledger.getAcount"])
    assert "getAccount" in described.declarations
    assert described.unknown[0].name == "ledger.getAcount"
    assert "ledger.getAccount" in described.unknown[0].nearest
    python = await client.describe(["ledger.getAccount"], "python")
    assert "account_id: str" in python.declarations
