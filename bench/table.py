"""Results for a terminal: every figure, its floor, and whether it is met."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from bench.result import Result

type Row = tuple[str, str, str, str]

_HEAD: Final[Row] = ("figure", "measured", "floor", "")


def table(results: Sequence[Result]) -> str:
    """One table over all results; a figure that has a floor says so."""
    rows = [_HEAD, *(row for result in results for row in _rows(result))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = [_line(row, widths) for row in rows]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


def missed(results: Sequence[Result]) -> list[str]:
    """One line for each floor that is not met."""
    return [
        f"{result['benchmark']}.{floor['figure']}: {number(floor['measured'])}, and the floor is {_bound(floor)}"
        for result in results
        for floor in result["floors"]
        if not floor["met"]
    ]


def number(value: float) -> str:
    """Three significant digits, and all that stand before the point."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def _rows(result: Result) -> Iterator[Row]:
    floors = {floor["figure"]: floor for floor in result["floors"]}
    for name, value in result["figures"].items():
        bound, met = "", ""
        if floor := floors.get(name):
            bound, met = _bound(floor), "met" if floor["met"] else "MISSED"
        yield f"{result['benchmark']}.{name}", number(value), bound, met


def _bound(floor: Mapping[str, Any]) -> str:
    return f"{floor['bound']} {floor['value']:,g}"


def _line(row: Row, widths: Sequence[int]) -> str:
    figure, measured, floor, met = row
    return f"{figure:<{widths[0]}}  {measured:>{widths[1]}}  {floor:<{widths[2]}}  {met}".rstrip()
