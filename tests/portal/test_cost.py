"""What the pair costs a model before it asks anything: tokens of the whole tools/list answer, instructions included."""

import json
from typing import Any

import pytest
from mcp.client.client import Client

from runtime.portal.catalog import Catalog
from runtime.portal.declarations import declare, declare_all
from runtime.portal.face import Overview
from runtime.portal.finder import Finder
from runtime.portal.mcp_server import portal_server
from runtime.portal.pair import tools
from runtime.portal.schema import Shape
from runtime.portal.token_count import estimated_tokens
from runtime.portal.tool import Tool
from runtime.portal.upstream_state import UpstreamState
from sandboxes.config import Portal
from tests.fixtures.o200k import tokens
from tests.portal.fake_face import FakeFace
from tests.portal.parts import upstreams


def catalog(count: int) -> Catalog:
    properties = {"owner": {"type": "string"}, "number": {"type": "integer"}, "state": {"enum": ["open", "closed"]}}
    shape = Shape(schema={"type": "object", "properties": properties, "required": ["owner"]}, root={})
    tools = [
        Tool(
            upstream="up", name=f"getThing{n}", original=f"things/get-{n}", summary=f"Get thing {n}",
            description=f"Gets the thing of number {n}, with everything that is known of it.", input=shape,
            output=Shape(schema={"type": "array", "items": {"type": "string"}}, root={}), read_only=True,
        )
        for n in range(count)
    ]  # fmt: skip
    return Catalog().with_upstream("up", tools)


class CatalogFace(FakeFace):
    """A face over a catalog, as the gateway has one."""

    def __init__(self, over: Catalog, portal: Portal) -> None:
        super().__init__()
        running = upstreams({})
        running.catalog = over
        running.states["up"] = UpstreamState(phase="ready")
        self._finder = Finder(running, portal)

    async def overview(self) -> Overview:
        found = await self._finder.overview("javascript")
        return Overview(text=found.text, complete=bool(found.text) and not found.left_out)


async def listed(over: Catalog, **portal: Any) -> tuple[str, str]:
    """The answer as it goes over the wire, and the description of execute."""
    async with Client(portal_server(CatalogFace(over, Portal(**portal)), "1.0"), cache=None) as client:
        answer = await client.list_tools()
        assert client.instructions is not None
        wire = json.dumps(answer.model_dump(mode="json", by_alias=True, exclude_none=True), ensure_ascii=False)
        return wire + client.instructions, str(answer.tools[1].description)


@pytest.mark.parametrize("count", [10, 1_000, 10_000])
async def test_the_pair_costs_less_than_700_tokens(count: int) -> None:
    wire, described = await listed(catalog(count), inline="never")
    assert tokens(wire) < 700
    assert "getThing" not in described


@pytest.mark.parametrize("count", [1_000, 10_000])
async def test_a_large_catalog_costs_no_more_where_small_ones_are_inline(count: int) -> None:
    wire, _ = await listed(catalog(count))
    assert tokens(wire) < 700


async def test_a_small_catalog_is_told_at_once_within_its_budget() -> None:
    wire, described = await listed(catalog(10))
    assert "These are all the tools; no search is needed:\ndeclare const codemode: {" in described
    assert all(f"getThing{n}(" in described for n in range(10))
    assert tokens(wire) < 700 + 1_500


def test_what_the_profile_says_of_declared_tools_is_bounded() -> None:
    said = tuple((f"up.deleteThing{n}", "deny" if n else "may ask") for n in range(101))
    described = str(tools(Overview(text="declare", complete=True, approvals=said))[1].description)
    *_, asked, refused = described.splitlines()
    assert asked == "[may need approval]: up.deleteThing0"
    assert refused.startswith("[not allowed]: up.deleteThing1, ")
    assert refused.endswith(", up.deleteThing20 and 80 more")


async def test_no_catalog_is_nothing_to_tell() -> None:
    wire, described = await listed(Catalog())
    assert tokens(wire) < 700
    assert "no search is needed" not in described


async def test_always_tells_as_much_as_fits_and_that_there_is_more() -> None:
    wire, described = await listed(catalog(1_000), inline="always", inline_tokens=500)
    assert "Some of the tools; search for the others:" in described
    assert "getThing0(" in described
    assert "more" in described.splitlines()[-1]
    assert tokens(wire) < 700 + 500


def test_all_or_the_rest_by_name() -> None:
    found = declare_all(catalog(30), "javascript", 400)
    told = found.text.count("): Promise<")
    assert 0 < told < 30
    assert len(found.left_out) == 30 - told
    assert declare_all(catalog(3), "python").left_out == ()


@pytest.mark.parametrize("language", ["javascript", "python"])
def test_a_description_of_real_tools_keeps_its_budget(github_catalog: Catalog, language: Any) -> None:
    """The estimate is what counts while writing; the tokenizer has the last word."""
    ratios = []
    for name in list(github_catalog.tools)[::40]:
        text = declare(github_catalog, [name], language).text
        assert tokens(text) <= 1_500, name
        ratios.append(estimated_tokens(text) / tokens(text))
    assert min(ratios) > 0.9
    assert max(ratios) < 1.35


@pytest.mark.parametrize(
    "text", ["", "a", "你好世界", "Привет", "{}[]();:" * 9, "\U0001f600" * 9, "\n" * 90, "\0\ud800"]
)
def test_any_text_has_an_estimate(text: str) -> None:
    assert 0 <= estimated_tokens(text) <= len(text) + 1
