"""What search finds for graded queries: for the tests and for `bench.search`.

Weights, synonyms and verbs were chosen with the tuned queries. No single held-out query was looked at meanwhile, but
their mean scores were, several times, while settings were chosen: they are no longer a fair measure. The unseen queries
were written after all settings were chosen and before any search was made with them; nothing is ever chosen by them.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import mcp_types

from runtime.portal.catalog import Catalog
from runtime.portal.mcp_tools import build_tools
from runtime.portal.search import SearchIndex


def read(name: str) -> Any:
    return json.loads((Path(__file__).parent / "data" / f"{name}.json").read_text())


class Score(NamedTuple):
    """Means over queries: of what is relevant, the share among the first five; one over the place of the first hit."""

    recall: float
    rank: float
    missed: list[Any]


def scored(catalog: Catalog, cases: list[Any], prefix: str = "") -> Score:
    over = SearchIndex(catalog)
    recall = rank = 0.0
    missed: list[Any] = []
    for case in cases:
        found = [each.full_name for each in over.search(case["query"], 10).tools]
        wanted = {prefix + name for name in case["relevant"]}
        assert wanted <= set(catalog.tools)
        hits = len(wanted & set(found[:5])) / min(5, len(wanted))
        recall += hits
        rank += next((1 / place for place, name in enumerate(found, 1) if name in wanted), 0.0)
        if hits < 1:
            missed.append((case["query"], found[:5]))
    over.close()
    return Score(recall / len(cases), rank / len(cases), missed)


def mixed_catalog() -> Catalog:
    """Fourteen MCP servers of the usual kinds, written for this purpose."""
    catalog = Catalog()
    for upstream, tools in read("mixed_catalog").items():
        listed = [
            mcp_types.Tool(
                name=each["name"],
                description=each["description"],
                input_schema={"type": "object", "properties": {name: {} for name in each["arguments"]}},
            )
            for each in tools
        ]
        catalog = catalog.with_upstream(upstream, build_tools(upstream, listed)[0])
    return catalog


def tuned() -> tuple[list[Any], list[Any]]:
    """Queries that weights were chosen with: over GitHub's operations, and over the mixed servers."""
    mixed = [case for case in read("mixed_queries") if not case["held_out"]]
    return read("github_queries") + read("github_development"), mixed + read("mixed_development")


def held_out() -> tuple[list[Any], list[Any]]:
    """Queries of which only mean scores were seen while settings were chosen, over the same."""
    return read("github_held_out"), [case for case in read("mixed_queries") if case["held_out"]]


def unseen() -> tuple[list[Any], list[Any]]:
    """Queries that nothing was chosen by, over the same. Measured, and never tuned to: they have no floors."""
    return read("github_unseen"), read("mixed_unseen")
