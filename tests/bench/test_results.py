"""What benchmarks make of their measurements: percentiles, floors, the result's shape, the table, the plot."""

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.floors import FLOORS, Floor
from bench.plot import draw
from bench.result import Chart, Result, Round, judged, make_result, read_result, write_result
from bench.samples import QUANTILES, figure_name, percentile, summary
from bench.table import missed, number, table

ROOT = Path(__file__).resolve().parents[2]


def measured(*p50s: float) -> list[Round]:
    rounds = []
    for p50 in p50s:
        one = Round(figures={"javascript_throughput_per_s": 1_500.0}, series={"gateway_pss_mb": [(0, 1), (10, p50)]})
        one.sample("javascript_call_ms", [p50 - 0.1, p50, p50, p50 + 0.1])
        rounds.append(one)
    return rounds


CHARTS = [
    Chart(kind="distribution", title="JavaScript: whole call", names=["javascript_call_ms"], unit="ms"),
    Chart(kind="bars", title="Throughput", names=["javascript_throughput_per_s"], unit="executions per second"),
    Chart(kind="growth", title="Memory", names=["gateway_pss_mb"], unit="MB of PSS", along="executions"),
    Chart(kind="bars", title="Not measured this time", names=["python_throughput_per_s"], unit="executions per second"),
]


@pytest.fixture
def result() -> Result:
    return make_result("startup", "python -m bench.startup --n 4", measured(1.0, 1.1, 5.0), CHARTS)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0], 0.95, 1.0), (list(range(100)), 0.95, 95), (list(range(100)), 1.0, 99)],
    ids=["unsorted", "one value", "p95 of a hundred", "the greatest"],
)
def test_percentile_is_the_nearest_rank(values, share, expected) -> None:
    assert percentile(values, share) == expected


def test_a_summary_keeps_the_whole_distribution() -> None:
    kept = summary([5.0, 1.0, 3.0])
    assert (kept["count"], kept["mean"], kept["p50"]) == (3, 3.0, 3.0)
    assert len(kept["quantiles"]) == QUANTILES + 1
    assert (kept["quantiles"][0], kept["quantiles"][-1]) == (1.0, 5.0)
    assert kept["quantiles"] == sorted(kept["quantiles"])


def test_samples_leave_their_percentiles_among_the_figures() -> None:
    assert figure_name("javascript_call_ms", 95) == "javascript_call_p95_ms"
    assert set(measured(1.0)[0].figures) >= {"javascript_call_p50_ms", "javascript_call_p95_ms"}


BOUNDS = [
    ("at most", 2, True),
    ("at most", 2.1, False),
    ("under", 2, False),
    ("under", 1.9, True),
    ("at least", 2, True),
    ("at least", 1.9, False),
]


@pytest.mark.parametrize(("bound", "value", "met"), BOUNDS)
def test_a_floor_is_met_on_its_side(bound, value, met) -> None:
    assert Floor("x_ms", bound, 2).met(value) is met


def test_a_figure_is_the_median_of_its_rounds_and_judged_by_its_floor(result) -> None:
    assert result["figures"]["javascript_call_p50_ms"] == 1.1
    floors = {floor["figure"]: floor for floor in result["floors"]}
    assert floors["javascript_call_p50_ms"]["met"] is True
    assert floors["javascript_throughput_per_s"]["met"] is True
    assert "python_call_p50_ms" not in floors, "what was not measured is neither met nor missed"


def test_a_figure_that_some_rounds_lack_is_the_median_of_the_others() -> None:
    rounds = [Round(figures={"a_ms": 1.0}), Round(figures={"a_ms": 3.0, "b_ms": 2.0})]
    assert make_result("startup", "", rounds, [])["figures"] == {"a_ms": 2.0, "b_ms": 2.0}


def test_a_result_says_what_it_was_measured_on_and_survives_its_file(result, tmp_path) -> None:
    write_result(result, tmp_path / "new" / "startup.json")
    assert read_result(tmp_path / "new" / "startup.json") == json.loads(json.dumps(result))
    assert set(result["machine"]) == {"cpu", "cores", "memory_mb", "kernel", "python", "load_before"}
    assert result["versions"]["wasmtime"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", result["date"])
    assert len(result["rounds"]) == 3
    assert result["rounds"][2]["samples"]["javascript_call_ms"]["p50"] == 5.0


def test_the_table_names_every_figure_and_what_was_missed() -> None:
    slow = make_result("startup", "", measured(5.0), [])
    lines = table([slow]).splitlines()
    assert next(line for line in lines if "javascript_call_p50_ms" in line).split() == [
        *("startup.javascript_call_p50_ms", "5.00", "at", "most", "1.2", "MISSED")
    ]
    assert next(line for line in lines if "throughput" in line).endswith("at least 1,400  met")
    assert missed([slow])[0] == "startup.javascript_call_p50_ms: 5.00, and the floor is at most 1.2"


@pytest.mark.parametrize(("value", "shown"), [(0.004, "0.00"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")])
def test_numbers_have_about_three_digits(value, shown) -> None:
    assert number(value) == shown


def test_a_plot_has_a_panel_for_each_chart_that_was_measured_with_units_and_floors(result, tmp_path) -> None:
    path = draw(result, tmp_path / "startup.svg")
    texts = {"".join(element.itertext()) for element in ET.parse(path).iter() if element.tag.endswith("}text")}
    assert {"JavaScript: whole call", "Throughput", "Memory"} <= texts
    assert "Not measured this time" not in texts
    assert {"ms", "executions per second", "MB of PSS", "executions"} <= texts
    assert {"p50 floor 1.2 ms", "p95 floor 1.6 ms"} <= texts
    assert any("python -m bench.startup --n 4" in text for text in texts)


def test_the_same_result_gives_the_same_plot(result, tmp_path) -> None:
    assert draw(result, tmp_path / "a.svg").read_bytes() == draw(result, tmp_path / "b.svg").read_bytes()


def test_floors_are_those_of_the_page() -> None:
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| [^|]+ \| `(\w+)\.(\w+)` \| (at most|at least|under) ([\d,.]+)", page, re.MULTILINE))
    promised = {(name, floor.figure, floor.bound, f"{floor.value:,g}") for name in FLOORS for floor in FLOORS[name]}
    assert told == promised


def test_a_floor_of_a_figure_that_is_no_floor_of_the_benchmark_is_not_judged() -> None:
    assert judged("search", {"javascript_call_p50_ms": 9.0}) == []
