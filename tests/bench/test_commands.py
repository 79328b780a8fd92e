"""Every benchmark can be started: one command each, with the same options."""

import subprocess
import sys

import pytest

from bench.__main__ import BENCHMARKS
from bench.floors import FLOORS
from bench.machine import ROOT
from bench.result import read_result


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_has_the_common_options(name) -> None:
    done = run(f"bench.{name}", "--help")
    assert done.returncode == 0, done.stderr
    for option in ("--rounds", "--n N", "--json", "--plot", "--no-plot", "--quick"):
        assert option in done.stdout


def test_floors_belong_to_benchmarks() -> None:
    assert set(FLOORS) <= set(BENCHMARKS)


def test_an_unknown_benchmark_is_told() -> None:
    done = run("bench", "nope")
    assert done.returncode == 2
    assert "there is no benchmark nope; there are serve, startup" in done.stderr


def test_a_benchmark_writes_its_result_and_its_plot_and_prints_its_table(tmp_path) -> None:
    done = run("bench.serve", "--rounds", "1", "--n", "1", "--json", str(tmp_path / "serve.json"))
    assert done.returncode == 0, done.stderr
    assert "serve: round 1 of 1" in done.stderr
    assert "serve.serve_to_first_execution_p50_s" in done.stdout
    assert f"result  {tmp_path}/serve.json" in done.stdout
    assert (tmp_path / "serve.svg").read_text().startswith("<?xml")


def test_durable_executions_are_measured_on_both_stores_and_through_kills(tmp_path) -> None:
    done = run("bench.durability", "--rounds", "1", "--n", "10", "--no-plot", "--json", str(tmp_path / "it.json"))
    assert done.returncode == 0, done.stderr
    figures = read_result(tmp_path / "it.json")["figures"]
    assert {floor.figure for floor in FLOORS["durability"]} <= set(figures)
    assert {f"{beside}recover_{what}_s" for beside in ("", "held_") for what in ("workers", "gateway")} <= set(figures)
    assert figures["sqlite_none_stored_count"] == figures["held_processes_added_count"] == 0


def test_matplotlib_is_not_loaded_without_a_plot() -> None:
    code = "import sys, bench.startup, bench.soak, bench.run; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False, timeout=60).returncode == 0
