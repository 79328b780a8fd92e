"""What tools cost a model in tokens of o200k_base: as raw definitions, and behind the pair `search` and `execute`.

For GitHub's, Stripe's and Kubernetes' OpenAPI documents and the MCP project's server-everything, all from npm
(`tests/fixtures/fetch_documents.py`). Raw definitions are a name, a description and an input schema for each tool, as
an MCP server would list them, references not followed. A search reply is the text of ten tools found by another tool's
summary; a describe reply is the text for one tool. Nothing here depends on the machine.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mcp_types
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters

from bench.result import Chart, Round
from bench.run import finish, options, parse, progress
from runtime.portal import pair
from runtime.portal.catalog import Catalog
from runtime.portal.declarations import declare, declare_all
from runtime.portal.face import Overview, SearchReply, ToolHit
from runtime.portal.mcp_tools import build_tools
from runtime.portal.openapi import load_openapi
from runtime.portal.reply_text import search_text
from runtime.portal.search import SearchIndex
from runtime.portal.signature import signature
from runtime.portal.tool import Tool
from tests.fixtures.fetch_documents import document, node
from tests.fixtures.o200k import tokens

DOCUMENTS = ("github", "stripe", "kubernetes")
PLACES = (*DOCUMENTS, "everything")


def written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


async def listed(server: Path) -> Sequence[mcp_types.Tool]:
    parameters = StdioServerParameters(command=node(), args=[str(server), "stdio"])
    async with Client(parameters, cache=None) as client:
        return (await client.list_tools()).tools


def catalogs() -> Mapping[str, tuple[Catalog, str]]:
    """Each source's catalog, and its raw definitions as JSON."""
    found: dict[str, tuple[Catalog, str]] = {}
    for name in DOCUMENTS:
        tools = load_openapi(name, document(name).read_bytes(), name).tools
        raw = [{"name": t.name, "description": t.description, "inputSchema": t.input.schema} for t in tools]
        found[name] = (Catalog().with_upstream(name, tools), written(raw))
    raw_tools = asyncio.run(listed(document("everything")))
    raw = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in raw_tools]
    tools, _ = build_tools("everything", raw_tools)
    found["everything"] = (Catalog().with_upstream("everything", tools), written(raw))
    return found


def pair_tokens(overview: Overview | None = None) -> int:
    tools = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in pair.tools(overview)]
    return tokens(written({"tools": tools}) + pair.INSTRUCTIONS)


def reply(tools: Sequence[Tool]) -> str:
    hits = [
        ToolHit(
            name=tool.full_name,
            signature=signature(tool),
            purpose=tool.summary,
            upstream=tool.upstream,
            read_only=tool.read_only,
            deprecated=tool.deprecated,
        )
        for tool in tools
    ]
    return search_text(SearchReply(tools=tuple(hits), total=len(hits)))


def measured(name: str, catalog: Catalog, raw: str, samples: int) -> Round:
    tools = list(catalog.tools.values())
    some = tools[:: max(1, len(tools) // samples)]
    index = SearchIndex(catalog)
    searched = [float(tokens(reply(index.search(tool.summary, 10).tools))) for tool in some]
    described = [float(tokens(declare(catalog, [tool.full_name]).text)) for tool in some]
    index.close()
    inline = declare_all(catalog)
    told = Overview(text=inline.text, complete=True) if not inline.left_out else None
    round_ = Round(
        figures={
            f"{name}_tools_count": len(tools),
            f"{name}_raw_tokens": tokens(raw),
            f"{name}_pair_tokens": pair_tokens(),
            f"{name}_listed_tokens": pair_tokens(told),
        }
    )
    round_.sample(f"{name}_search_tokens", searched, (50, 100))
    round_.sample(f"{name}_describe_tokens", described, (50, 100))
    return round_


CHARTS = [
    Chart(kind="bars", title="Raw definitions", names=[f"{name}_raw_tokens" for name in PLACES], unit="tokens"),
    Chart(
        kind="bars",
        title="tools/list behind the pair, small catalogs inline",
        names=[f"{name}_listed_tokens" for name in PLACES],
        unit="tokens",
    ),
    Chart(
        kind="distribution",
        title="One describe reply",
        names=[f"{name}_describe_tokens" for name in PLACES],
        unit="tokens",
    ),
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=1, n=50, n_means="tools asked for of each source"))
    found = Round()
    for name, (catalog, raw) in catalogs().items():
        progress(f"tokens: {name}")
        found.add(measured(name, catalog, raw, arguments.n))
    finish("tokens", arguments, [found], CHARTS)


if __name__ == "__main__":
    main()
