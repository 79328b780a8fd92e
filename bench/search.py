"""Loading GitHub's OpenAPI document, and searching its tools and ten thousand.

The document comes from `tests/fixtures/fetch_documents.py`. Ten thousand tools are GitHub's under further names. A
search is timed the first time its words are asked for.
"""

import gc
import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil

from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from runtime.portal.catalog import Catalog
from runtime.portal.document_cache import DocumentCache
from runtime.portal.openapi import load_openapi, openapi_tools
from runtime.portal.openapi_document import parse_openapi
from runtime.portal.search import SearchIndex
from runtime.portal.tool import Tool
from tests.fixtures.fetch_documents import document
from tests.portal.retrieval import held_out, mixed_catalog, read, scored, tuned, unseen


def loading(file: Path) -> tuple[tuple[Tool, ...], dict[str, float]]:
    before = psutil.Process().memory_info().rss
    begun = time.perf_counter()
    tools = load_openapi("github", file.read_bytes(), file.name).tools
    took = time.perf_counter() - begun
    grown = psutil.Process().memory_info().rss - before
    return tools, {"github_load_s": took, "github_operations_count": len(tools), "github_rss_growth_mb": grown / 1e6}


def loading_again(file: Path) -> dict[str, float]:
    """From the cache, as at the second start."""
    data = file.read_bytes()
    with tempfile.TemporaryDirectory() as directory:
        cache = DocumentCache(Path(directory))
        cache.keep(cache.key(data), parse_openapi(data, file.name))
        begun = time.perf_counter()
        document = cache.find(cache.key(file.read_bytes()))
        assert document is not None
        openapi_tools("github", document, file.name)
        return {"github_cached_load_s": time.perf_counter() - begun}


def searching(tools: tuple[Tool, ...], queries: list[str], label: str) -> Round:
    gc.collect()
    catalog = Catalog().with_upstream("github", tools)
    begun = time.perf_counter()
    index = SearchIndex(catalog)
    measured = Round(figures={f"{label}_index_s": time.perf_counter() - begun})
    times: list[float] = []
    for query in queries:
        begun = time.perf_counter()
        index.search(query, 10)
        times.append((time.perf_counter() - begun) * 1e3)
    index.close()
    measured.sample(f"{label}_query_ms", times)
    return measured


def finding(tools: tuple[Tool, ...]) -> dict[str, float]:
    """Recall among the first five and mean reciprocal rank, of three sets of queries: see tests/portal/retrieval.py."""
    catalogs = (Catalog().with_upstream("github", tools), "github."), (mixed_catalog(), "")
    figures: dict[str, float] = {}
    for name, sets in (("tuned", tuned()), ("held_out", held_out()), ("unseen", unseen())):
        for (catalog, prefix), label, cases in zip(catalogs, ("github", "mixed"), sets, strict=True):
            score = scored(catalog, cases, prefix)
            figures |= {f"{label}_{name}_recall_ratio": score.recall, f"{label}_{name}_rank_ratio": score.rank}
    return figures


CHARTS = [
    Chart(
        kind="distribution",
        title="A search, the first time its words are asked for",
        names=["github_query_ms", "many_query_ms"],
        unit="ms",
    ),
    Chart(
        kind="bars",
        title="Loading and indexing",
        names=["github_load_s", "github_cached_load_s", "github_index_s", "many_index_s"],
        unit="s",
    ),
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=5, n=10_000, n_means="tools of the larger catalog"))
    queries = [case["query"] for case in read("github_queries")]
    tools, loaded = loading(document("github"))
    loaded |= loading_again(document("github"))
    copies = (replace(tool, name=f"{tool.name}{n}") for n in range(arguments.n // len(tools) + 1) for tool in tools)
    many = tuple(itertools.islice(copies, arguments.n))
    loaded |= finding(tools)
    rounds = []
    for _ in counted("search", arguments.rounds):
        rounds.append(Round(figures=dict(loaded)))
        rounds[-1].add(searching(tools, queries, "github"))
        rounds[-1].add(searching(many, queries, "many"))
    finish("search", arguments, rounds, CHARTS)


if __name__ == "__main__":
    main()
