"""Samples of one thing measured many times, and what is kept of them."""

import statistics
from collections.abc import Sequence
from typing import TypedDict

QUANTILES = 200


class Summary(TypedDict):
    """Of one round's samples. `quantiles` has QUANTILES + 1 values, from the least to the greatest."""

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    quantiles: list[float]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def summary(values: Sequence[float]) -> Summary:
    ordered = sorted(values)
    last = len(ordered) - 1
    return {
        "count": len(ordered),
        "mean": round(statistics.fmean(ordered), 4),
        "p50": round(percentile(ordered, 0.50), 4),
        "p95": round(percentile(ordered, 0.95), 4),
        "p99": round(percentile(ordered, 0.99), 4),
        "quantiles": [round(ordered[round(last * step / QUANTILES)], 4) for step in range(QUANTILES + 1)],
    }


def figure_name(samples: str, share: int) -> str:
    """`call_ms` and 95 to `call_p95_ms`: what the percentile of samples is called among the figures."""
    base, _, unit = samples.rpartition("_")
    return f"{base}_p{share}_{unit}"
