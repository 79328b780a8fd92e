"""Draws a result as one SVG, a panel for each of its charts: `python -m bench.plot build/bench/*.json`.

A distribution is drawn as its ECDF, one thin line a round, with p50 and p95 marked (medians of the rounds). Bars have a
dot for each round. Floors are dashed red lines; the labels say on which side of them a figure has to be.
"""

import argparse
import math
import statistics
import textwrap
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.result import Result, read_result
from bench.samples import QUANTILES, figure_name
from bench.table import number

type Panel = Mapping[str, Any]

PANEL_INCHES: Final = (6.2, 3.4)
HEADING_INCHES: Final = 0.8
RED: Final = "#c1121f"
COLOURS: Final = ("#1d6fa5", "#e07a1f", "#3a8f4d", "#7b4fa3", "#8a5a44", "#4a4a4a")
MARKED: Final = (50, 95)
_WIDE: Final = 40
"""Of an axis whose ends are further apart than this, the logarithm is drawn."""
_KEPT_IN: Final = {"distribution": "samples", "bars": "figures", "growth": "series"}
_ENDINGS: Final = {
    "%": "percent",
    "MB": "mb",
    "MB of PSS": "pss_mb",
    "MB per second": "mb_per_s",
    "executions per second": "per_s",
    "requests per second": "per_s",
    "times": "ratio",
}
"""How names end that are in these units."""
_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "lockgate",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def draw(result: Result, path: Path) -> Path:
    """Draw the charts for which something was measured; returns `path`, whose ending tells the format."""
    shown = [chart for chart in result["charts"] if _measured(result, chart)]
    columns = min(2, max(1, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    with mpl.rc_context(_STYLE):
        width, height = PANEL_INCHES
        figure = Figure(figsize=(width * columns, height * rows + HEADING_INCHES), layout="constrained")
        figure.suptitle(_heading(result), fontsize=10)
        for place, chart in enumerate(shown):
            axes = figure.add_subplot(rows, columns, place + 1)
            axes.set_title(chart["title"])
            _DRAWN[chart["kind"]](axes, result, chart)
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return path


def _measured(result: Result, chart: Panel) -> list[str]:
    kept_in = _KEPT_IN[chart["kind"]]
    return [name for name in chart["names"] if any(name in one[kept_in] for one in result["rounds"])]


def _heading(result: Result) -> str:
    machine, rounds = result["machine"], len(result["rounds"])
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['kernel']}, Python {machine['python']}"
    when = f"{result['date'][:16].replace('T', ' ')} UTC, commit {result['commit']}"
    return "\n".join([result["command"], where, f"{when}, {rounds} round{'s' * (rounds > 1)}"])


def _label(name: str, unit: str) -> str:
    """`javascript_gateway_cpu_ms` to `javascript gateway cpu`: the axis has the unit."""
    return name.removesuffix(f"_{_ENDINGS.get(unit, unit)}").replace("_", " ")


def _floors(result: Result) -> dict[str, Panel]:
    return {floor["figure"]: floor for floor in result["floors"]}


def _distribution(axes: Axes, result: Result, chart: Panel) -> None:
    names, unit = _measured(result, chart), chart["unit"]
    floors = {
        (share, floor["value"])
        for name in names
        for share in MARKED
        if (floor := _floors(result).get(figure_name(name, share)))
    }
    right, least = max((value for _, value in floors), default=0.0), math.inf
    for name, colour in zip(names, COLOURS, strict=False):
        found = [one["samples"][name] for one in result["rounds"] if name in one["samples"]]
        _ecdf(axes, found, colour, _label(name, unit), unit)
        right = max(right, *(one["p99"] for one in found))
        least = min(least, *(one["quantiles"][0] for one in found))
    left = min(0.0, least)
    for share, value in sorted(floors):
        axes.axvline(value, color=RED, linestyle="--", linewidth=1)
        apart = -11 if share == MARKED[0] else 3  # on either side of the line: the two can be near each other
        _note(axes, f"p{share} floor {value:g} {unit}", (value, 4), (apart, 0), color=RED, rotation=90)
    if least > 0 and right > _WIDE * least:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        left = 0.7 * least
    axes.set_xlim(left, right * 1.1)
    axes.set_ylim(0, 101)
    axes.set_yticks([0, 25, *MARKED, 75, 100])
    axes.set_xlabel(unit)
    axes.set_ylabel("% that took at most this")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16))


def _ecdf(axes: Axes, found: list[Panel], colour: str, label: str, unit: str) -> None:
    shares = [100 * step / QUANTILES for step in range(QUANTILES + 1)]
    for one in found:
        axes.plot(one["quantiles"], shares, color=colour, linewidth=1, alpha=0.55)
    middle = {share: statistics.median(one[f"p{share}"] for one in found) for share in MARKED}
    axes.plot(list(middle.values()), list(middle), "o", markersize=5, color=colour)
    marked = ", ".join(f"p{share} {number(value)} {unit}" for share, value in middle.items())
    axes.plot([], [], "o-", color=colour, label=f"{label}: {marked}")


def _bars(axes: Axes, result: Result, chart: Panel) -> None:
    names = _measured(result, chart)
    reach = [_bar(axes, result, name, place) for place, name in enumerate(names)]
    axes.set_yticks(range(len(names)), [textwrap.fill(_label(name, chart["unit"]), 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.5 * max(reach) or 1)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(chart["unit"])


def _bar(axes: Axes, result: Result, name: str, place: int) -> float:
    """One bar with its rounds, its floor and its number; how far to the right it reaches."""
    middle, floor = float(result["figures"][name]), _floors(result).get(name)
    values = [float(one["figures"][name]) for one in result["rounds"] if name in one["figures"]]
    axes.barh(place, middle, height=0.55, color=COLOURS[0], alpha=0.75)
    axes.plot(values, [place] * len(values), ".", color="#12384f", markersize=4)
    reach = max(0.0, middle, *values)
    text = number(middle)
    if floor:
        axes.plot([floor["value"]] * 2, [place - 0.38, place + 0.38], color=RED, linestyle="--", linewidth=1.2)
        reach = max(reach, float(floor["value"]))
        text += f"   (floor: {floor['bound']} {floor['value']:,g})"
    _note(axes, text, (reach, place), (6, 0), color=RED if floor and not floor["met"] else "#222222")
    return reach


def _growth(axes: Axes, result: Result, chart: Panel) -> None:
    top = bottom = 0.0
    for name, colour in zip(_measured(result, chart), COLOURS, strict=False):
        found = [one["series"][name] for one in result["rounds"] if name in one["series"]]
        for points in found:
            axes.plot(*zip(*points, strict=True), "o-", color=colour, linewidth=1.2, markersize=3, alpha=0.7)
        last = statistics.median(points[-1][1] for points in found)
        label = _label(name, chart["unit"])
        axes.plot([], [], "o-", color=colour, label=f"{label}: {number(last)} at the end")
        heights = [value for points in found for _, value in points]
        top, bottom = max(top, *heights), min(bottom, *heights)
        if floor := _floors(result).get(name):
            axes.axhline(floor["value"], color=RED, linestyle="--", linewidth=1)
            text = f"floor: {label} {floor['bound']} {floor['value']:g}"
            _note(axes, text, (0, floor["value"]), (6, 5), color=RED)
            top = max(top, floor["value"])
    axes.set_ylim(bottom * 1.15, top * 1.15 or 1)
    axes.set_xlim(left=0)
    axes.set_xlabel(chart["along"])
    axes.set_ylabel(chart["unit"])
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.16))


def _note(axes: Axes, text: str, at: tuple[float, float], apart: tuple[int, int], **looks: Any) -> None:
    """Text beside a point, `apart` from it in points."""
    rotated = "bottom" if looks.get("rotation") else "center"
    axes.annotate(text, at, xytext=apart, textcoords="offset points", fontsize=8, va=rotated, **looks)


_DRAWN: Final[Mapping[str, Callable[[Axes, Result, Panel], None]]] = {
    "distribution": _distribution,
    "bars": _bars,
    "growth": _growth,
}


def redraw(paths: Iterable[Path], ending: str) -> None:
    for path in paths:
        print(draw(read_result(path), path.with_suffix(f".{ending}")))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("result", nargs="+", type=Path, help="JSON results")
    parser.add_argument("--format", choices=["svg", "png", "pdf"], default="svg")
    arguments = parser.parse_args()
    redraw(arguments.result, arguments.format)


if __name__ == "__main__":
    main()
