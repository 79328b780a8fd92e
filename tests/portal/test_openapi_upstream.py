"""A document that cannot be used: callers read what is wrong with it, and where it lies is for the operator's log."""

from pathlib import Path

import pytest

from sandboxes.upstream import McpStdioUpstream, OpenApiUpstream
from tests.portal.parts import until, upstreams

BROKEN = {
    "absent": (None, "there is no api.json"),
    "empty": ("", "api.json is empty"),
    "not JSON": ("{", "api.json is not valid JSON: "),
    "no OpenAPI": ("{}", 'api.json is not an OpenAPI document: it has no "openapi" version at its top'),
    "no operations": ('{"openapi": "3.1.0"}', 'api.json has no "paths"'),
}


@pytest.mark.parametrize(("text", "reason"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_document_is_told_without_its_place_on_the_host(tmp_path: Path, caplog, text, reason) -> None:
    path = tmp_path / "api.json"
    if text is not None:
        path.write_text(text)
    config = OpenApiUpstream(kind="openapi", document=str(path), base_url="http://127.0.0.1:9")
    async with upstreams({"api": config}) as running:
        await until(running, lambda: running.states["api"].phase == "broken")
        told = running.states["api"].reason
    assert told.startswith(reason)
    assert str(tmp_path) not in told
    assert str(path) in caplog.text


async def test_a_directory_is_no_document(tmp_path: Path) -> None:
    config = OpenApiUpstream(kind="openapi", document=str(tmp_path), base_url="http://127.0.0.1:9")
    async with upstreams({"api": config}) as running:
        await until(running, lambda: running.states["api"].phase == "broken")
        assert running.states["api"].reason == f"{tmp_path.name}: Is a directory"


async def test_a_command_that_is_not_there_is_told_without_its_place_on_the_host(tmp_path: Path, caplog) -> None:
    config = McpStdioUpstream(kind="mcp", command=(str(tmp_path / "server"),))
    async with upstreams({"bad": config}) as running:
        await until(running, lambda: running.states["bad"].phase == "down")
        assert running.states["bad"].reason == "there is no server"
    assert str(tmp_path / "server") in caplog.text
