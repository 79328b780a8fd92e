"""A benchmark's result: rounds of figures and samples, judged by the floors. Written as JSON, read back for plots."""

import datetime as dt
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.floors import floors_of
from bench.machine import commit, machine, versions
from bench.samples import figure_name, percentile, summary

type Result = dict[str, Any]
type Points = list[tuple[float, float]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """One panel of a benchmark's plot: `names` are of samples, of figures or of series, all in `unit`."""

    kind: Literal["distribution", "bars", "growth"]
    title: str
    names: Sequence[str]
    unit: str
    along: str = ""  # of growth: what the series runs over


@dataclass(kw_only=True, slots=True)
class Round:
    """What one round measured. Names end in their unit: `_ms`, `_mb`, `_per_s`, `_percent`, `_ratio`, `_count`."""

    figures: dict[str, float] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    series: dict[str, Points] = field(default_factory=dict)

    def sample(self, name: str, values: Sequence[float], shares: Sequence[int] = (50, 95)) -> None:
        """Keep samples, and their percentiles among the figures."""
        self.samples[name] = list(values)
        for share in shares:
            self.figures[figure_name(name, share)] = percentile(values, share / 100)

    def add(self, other: "Round") -> None:
        self.figures |= other.figures
        self.samples |= other.samples
        self.series |= other.series


def make_result(benchmark: str, command: str, rounds: Sequence[Round], charts: Sequence[Chart]) -> Result:
    """The common shape of every benchmark. A figure is the median of the rounds that have it."""
    names = dict.fromkeys(name for one in rounds for name in one.figures)
    figures = {name: statistics.median(one.figures[name] for one in rounds if name in one.figures) for name in names}
    return {
        "benchmark": benchmark,
        "command": command,
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "figures": {name: round(value, 4) for name, value in figures.items()},
        "floors": judged(benchmark, figures),
        "rounds": [_kept(one) for one in rounds],
        "charts": [asdict(chart) for chart in charts],
    }


def judged(benchmark: str, figures: Mapping[str, float]) -> list[dict[str, Any]]:
    """Each floor of a figure that was measured, and whether it is met."""
    return [
        {**asdict(floor), "measured": round(figures[floor.figure], 4), "met": floor.met(figures[floor.figure])}
        for floor in floors_of(benchmark)
        if floor.figure in figures
    ]


def _kept(one: Round) -> dict[str, Any]:
    return {
        "figures": {name: round(value, 4) for name, value in one.figures.items()},
        "samples": {name: summary(values) for name, values in one.samples.items()},
        "series": {name: [[round(at, 4), round(value, 4)] for at, value in s] for name, s in one.series.items()},
    }


def write_result(result: Result, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n")


def read_result(path: Path) -> Result:
    result: Result = json.loads(path.read_text())
    return result
