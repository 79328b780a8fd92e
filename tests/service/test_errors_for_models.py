"""What a model is told of a failure: over gRPC and over MCP, in both languages."""

import json
from typing import Any

import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from tests.cell import TestCell
from tests.service.programs import run
from tests.service.test_mcp import over_http, over_stdio, text

JS, PY = "javascript", "python"
LANGUAGES = pytest.mark.parametrize("language", [JS, PY])
CONNECTIONS = pytest.mark.parametrize("connect", [over_http, over_stdio])


class Case:
    """A call, the code and status of its failure, and words that have to be in what is said."""

    def __init__(self, tool: str, arguments: dict[str, Any], code: str, status: int, *said: str) -> None:
        self.tool, self.arguments, self.code, self.status, self.said = tool, arguments, code, status, said

    def program(self, language: str) -> str:
        """The call on the second line, not caught."""
        if language == JS:
            return f"const given = inputs;\n  await codemode.{self.tool}(given);"
        return f"if True:\n  await codemode.{self.tool}(**inputs)"


CASES = {
    "unknown tool": Case("ledger.listAcounts", {}, "not_found", 0, "the nearest are ledger.listAccounts"),
    "unknown upstream": Case("lodger.list", {}, "not_found", 0, "the upstreams are"),
    "wrong argument": Case(
        "ledger.getAccount", {"account": "acc_1"}, "invalid_argument", 0, "account: is not an argument", "account_id"
    ),
    "wrong type": Case("ledger.getAccount", {"account_id": 5}, "invalid_argument", 0, "account_id: expected"),
    "refused upstream": Case("ledger.getAccount", {"account_id": "acc_99"}, "not_found", 404, "acc_99"),
    "denied": Case("notes.delete_note", {"title": "rates"}, "denied", 0, "tools.deny: notes.delete*"),
    "not allowed": Case("broken.anything", {}, "unavailable", 0, "broken"),
}
ALL = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
SIGNATURES = {JS: "codemode.ledger.getAccount({account_id: string}", PY: "account_id: str"}


@LANGUAGES
@ALL
async def test_over_grpc(client: Client, language, case: Case):
    execution = await run(client, case.program(language), language, inputs=case.arguments)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    error = execution.error
    for said in case.said:
        assert said in error.message
    if case.code == "invalid_argument":
        assert f"Signature: {SIGNATURES[language][:8]}" in error.message or SIGNATURES[language] in error.message
        assert json.loads(error.call.details_json)["signature"]
    assert (error.call.code, error.call.http_status, error.call.tool) == (case.code, case.status, case.tool)
    assert not error.call.retryable
    assert error.line == 2
    assert error.source_line.startswith("  await codemode.")
    if case.code == "denied":
        assert json.loads(error.call.details_json) == {"rule": "notes.delete*"}


@LANGUAGES
@ALL
async def test_over_mcp(cell: TestCell, language, case: Case):
    async with over_http(cell) as client:
        arguments = {
            "code": case.program(language), "language": language, "inputs": case.arguments, "profile": "tests",
        }  # fmt: skip
        done = await client.call_tool("execute", arguments)
    said = text(done)
    assert done.is_error
    for words in case.said:
        assert words in said
    if case.code == "invalid_argument":
        assert SIGNATURES[language] in said
    assert f"The call failed with code {case.code}" in said
    assert (f"HTTP status {case.status}" in said) == bool(case.status)
    assert "the same call will fail again" in said
    source, caret = said.splitlines()[1:3]
    assert source.startswith("    2 |   await codemode.")
    assert caret.lstrip() == "|" + " " * (caret.index("^") - caret.index("|") - 1) + "^"
    told = done.structured_content["error"]["call"]
    assert (told["code"], told["http_status"], told["tool"]) == (case.code, case.status, case.tool)


@LANGUAGES
async def test_a_caught_failure_is_no_failure(client: Client, cell: TestCell, language):
    code = {
        JS: "let r; try { await codemode.ledger.getAccount({account_id: 'acc_99'}) } catch (e) { r = e.status } r",
        PY: "try:\n  await codemode.ledger.getAccount(account_id='acc_99')\nexcept ToolError as e:\n  r = e.status\nr",
    }[language]
    execution = await run(client, code, language)
    assert (execution.result_json, execution.HasField("error")) == ("404", False)
    async with over_http(cell) as mcp:
        done = await mcp.call_tool("execute", {"code": code, "language": language, "profile": "tests"})
    assert not done.is_error


PLACES = {
    JS: ("const a = 1;\n    a.b.c();", 2, "    2 |     a.b.c();"),
    PY: ("a = 1\nif a:\n    a.b()", 3, "    3 |     a.b()"),
}


@LANGUAGES
@CONNECTIONS
async def test_a_programs_error_shows_its_line_with_a_caret(cell: TestCell, language, connect):
    code, line, shown = PLACES[language]
    async with connect(cell) as client:
        done = await client.call_tool("execute", {"code": code, "language": language, "profile": "tests"})
    assert done.is_error
    lines = text(done).splitlines()
    assert f"(line {line}, column " in lines[0]
    assert lines[1] == shown
    assert lines[2].strip().startswith("|")
    assert lines[2].endswith("^")
    assert "call" not in done.structured_content["error"]


FETCHES = {
    JS: "await fetch('http://nowhere.test.internal/x')",
    PY: "await fetch('http://nowhere.test.internal/x')",
}


@LANGUAGES
async def test_a_denied_fetch_says_which_rules_there_are(cell: TestCell, language):
    async with over_http(cell) as client:
        arguments = {"code": FETCHES[language], "language": language, "profile": "tests"}
        done = await client.call_tool("execute", arguments)
    assert done.is_error
    assert done.structured_content["error"]["call"]["code"] == "denied"
    assert "egress denied" in text(done)
    assert "nowhere.test.internal" in text(done)


ENDS = {
    "a value": ("1", False),
    "a caught failure": ("try { await codemode.no.such() } catch {} 1", False),
    "an error": ("null.x", True),
    "no syntax": ("let let", True),
    "a limit": ("for (;;);", True),
    "a result too large": ("'x'.repeat(10_000)", True),
    "a failed call nobody awaited": ("codemode.no.such().catch(() => 0); 1", False),
    "a cancelled promise": ("await Promise.reject(new Error('x'))", True),
}


@CONNECTIONS
@pytest.mark.parametrize(("code", "failed"), ENDS.values(), ids=ENDS)
async def test_is_error_exactly_when_the_program_did_not_finish(cell: TestCell, connect, code, failed):
    async with connect(cell) as client:
        done = await client.call_tool("execute", {"code": code, "profile": "tests"})
    assert done.is_error is failed
    assert (done.structured_content["status"] == "succeeded") is not failed
    assert ("error" in done.structured_content) is failed


@CONNECTIONS
async def test_a_tool_of_the_catalog_called_directly_is_told_how(cell: TestCell, connect):
    async with connect(cell) as client:
        for name in ("ledger.getAccount", "codemode.ledger.getAccount", "ledger__getAccount"):
            done = await client.call_tool(name, {"account_id": "acc_1"})
            assert done.is_error
            assert "ledger.getAccount is called inside a program" in text(done)
            assert "return await codemode.ledger.getAccount({account_id: string});" in text(done)
        near = await client.call_tool("ledger.getAcount", {})
    assert "the nearest is ledger.getAccount" in text(near)
