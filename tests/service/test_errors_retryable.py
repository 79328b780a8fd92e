"""Failures that may pass, as a model is told of them over MCP: whether to try again, and when."""

import json
from typing import Any

import pytest
import yaml

from runtime.service.cell import CellOptions
from tests.cell import TestCell, open_shared_state, running_cell, running_module
from tests.service.test_mcp import over_http, text

LANGUAGES = pytest.mark.parametrize("language", ["javascript", "python"])
AFTER = {"name": "after", "in": "query", "schema": {"type": "string"}}
DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        f"/status/{code}": {"get": {"operationId": f"get{code}", "parameters": [AFTER]}} for code in (429, 500, 503)
    },
}
PROFILE = {
    "name": "trying", "version": 1, "languages": ["javascript", "python"], "environments": ["dev"],
    "limits": {"memory_bytes": "96MiB"}, "tools": {"allow": ["site.*"]},
}  # fmt: skip


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    directory = tmp_path_factory.mktemp("retryable")
    (directory / "profiles").mkdir()
    (directory / "profiles" / "trying.yaml").write_text(yaml.safe_dump(PROFILE))
    (directory / "site.json").write_text(json.dumps(DOCUMENT))
    with running_module("tests.demo.site") as site:
        upstream = {"kind": "openapi", "document": "site.json", "base_url": site, "retries": 0}
        given = {"profiles": ["profiles"], "upstreams": {"site": {**upstream, "networks": ["127.0.0.1/32"]}}}
        config = directory / "lockgate.yaml"
        config.write_text(yaml.safe_dump(given))
        state = open_shared_state(directory / "state")
        with running_cell(CellOptions(state=state, config_file=config, any_port=True, workers=1)) as running:
            yield TestCell(cell=running, state=state, site=site, config_file=config)


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "too many, and when": (
        "get429", {"after": "30"},
        {"code": "upstream_error", "http_status": 429, "retryable": True, "retry_after_s": 30.0},
        "failed with code upstream_error, HTTP status 429; the same call may succeed later, in 30 seconds.",
    ),
    "unavailable": (
        "get503", {},
        {"code": "unavailable", "http_status": 503, "retryable": True, "retry_after_s": 0.0},
        "failed with code unavailable, HTTP status 503; the same call may succeed later.",
    ),
}  # fmt: skip


@LANGUAGES
@pytest.mark.parametrize(("tool", "given", "call", "said"), CASES.values(), ids=CASES)
async def test_a_failure_says_whether_and_when_to_try_again(cell: TestCell, language, tool, given, call, said):
    code = {"javascript": f"await codemode.site.{tool}(inputs)", "python": f"await codemode.site.{tool}(**inputs)"}
    async with over_http(cell) as client:
        arguments = {"code": code[language], "language": language, "inputs": given, "profile": "trying"}
        done = await client.call_tool("execute", arguments)
    assert done.is_error
    assert f"site.{tool}: the upstream answered {call['http_status']}" in text(done)
    assert said in text(done)
    assert done.structured_content["error"]["call"] == {**call, "tool": f"site.{tool}"}


@LANGUAGES
async def test_a_program_sees_the_same(cell: TestCell, language):
    code = {
        "javascript": """try { await codemode.site.get429({after: '30'}) }
            catch (e) { [e.code, e.status, e.retryable, e.retry_after, e.tool, e.message] }""",
        "python": """told = None
try:
    await codemode.site.get429(after='30')
except ToolError as e:
    told = [e.code, e.status, e.retryable, e.retry_after, e.tool, e.message]
told""",
    }[language]
    async with over_http(cell) as client:
        done = await client.call_tool("execute", {"code": code, "language": language, "profile": "trying"})
    assert not done.is_error
    *told, message = done.structured_content["result"]
    assert told == ["upstream_error", 429, True, 30, "site.get429"]
    assert message.startswith("site.get429: the upstream answered 429")
