"""Loading GitHub's OpenAPI document, and searching its tools and ten thousand: `python -m bench.search`.

The document comes from `tests/fixtures/fetch_documents.py`. Ten thousand tools are GitHub's under further names. A
search is timed the first time its words are asked for; every figure is the median of the rounds.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil

from bench.report import median_of, percentile, report
from runtime.portal.catalog import Catalog
from runtime.portal.openapi import load_openapi
from runtime.portal.search import SearchIndex
from runtime.portal.tool import Tool

ROOT = Path(__file__).resolve().parent.parent
MANY = 10_000


def document() -> Path:
    """GitHub's document, fetched if it is not there yet."""
    place = subprocess.check_output([sys.executable, ROOT / "tests" / "fixtures" / "fetch_documents.py"], text=True)
    return Path(place.strip()) / "@octokit" / "openapi" / "generated" / "api.github.com.json"


def loading(file: Path) -> tuple[tuple[Tool, ...], dict[str, float]]:
    before = psutil.Process().memory_info().rss
    begun = time.perf_counter()
    tools = load_openapi("github", file.read_bytes(), file.name).tools
    took = time.perf_counter() - begun
    grown = psutil.Process().memory_info().rss - before
    return tools, {"github_load_s": took, "github_operations_count": len(tools), "github_rss_growth_mb": grown / 1e6}


def searching(tools: tuple[Tool, ...], queries: list[str], prefix: str) -> dict[str, float]:
    catalog = Catalog().with_upstream("github", tools)
    begun = time.perf_counter()
    index = SearchIndex(catalog)
    built = time.perf_counter() - begun
    times: list[float] = []
    for query in queries:
        begun = time.perf_counter()
        index.search(query, 10)
        times.append((time.perf_counter() - begun) * 1e3)
    index.close()
    return {
        f"{prefix}_index_s": built,
        f"{prefix}_query_p50_ms": percentile(times, 0.5),
        f"{prefix}_query_p95_ms": percentile(times, 0.95),
    }


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    graded = json.loads((ROOT / "tests" / "portal" / "data" / "github_queries.json").read_text())
    queries = [case["query"] for case in graded]
    tools, loaded = loading(document())
    copies = (replace(tool, name=f"{tool.name}{n}") for n in range(MANY // len(tools) + 1) for tool in tools)
    many = tuple(tool for tool, _ in zip(copies, range(MANY), strict=False))
    rounds = []
    for _ in range(arguments.rounds):
        gc.collect()
        rounds.append({**searching(tools, queries, "github"), **searching(many, queries, "tools10k")})
    report({**loaded, **median_of(rounds)}, arguments.json)


if __name__ == "__main__":
    main()
