"""What idle isolates cost: growth of PSS by N of them in one process, by image, unwarmed and warmed.

In a child process for each kind, since memory once touched is not given back.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys

import psutil

from bench.cell import IMAGES
from bench.result import Chart, Points, Round
from bench.run import counted, finish, options, parse, progress
from runtime.isolate.compiled import compiled_image
from runtime.isolate.shipped import wasm_path

STEPS = 10
KINDS = (("javascript", False), ("javascript", True), ("python", False), ("python", True))


def label_of(name: str, *, warmed: bool) -> str:
    return f"{name}_{'warmed' if warmed else 'unwarmed'}"


def child(name: str, count: int, *, warmed: bool) -> Points:
    """Megabytes that isolates add, by their number."""
    from runtime.isolate.engine import make_engine  # noqa: PLC0415 - only the child loads Wasmtime
    from runtime.isolate.images import load_image  # noqa: PLC0415

    image = load_image(make_engine(), asyncio.run(compiled_image(name, wasm_path(name), IMAGES)))
    image.isolate().warm()
    me = psutil.Process()
    before = me.memory_full_info().pss
    kept = []
    points = [(0.0, 0.0)]
    for number in range(1, count + 1):
        kept.append(image.isolate())
        if warmed:
            kept[-1].warm()
        if number % max(1, count // STEPS) == 0 or number == count:
            points.append((float(number), (me.memory_full_info().pss - before) / 1e6))
    return points


def one_round(count: int) -> Round:
    measured = Round()
    for name, warmed in KINDS:
        label = label_of(name, warmed=warmed)
        progress(f"memory: {label}")
        command = [sys.executable, "-m", "bench.memory", "--n", str(count), "--child", name]
        points: Points = json.loads(subprocess.check_output([*command, "--warmed", str(int(warmed))]))
        measured.series[f"{label}_{count}_pss_mb"] = points
        measured.figures[f"{label}_{count}_pss_mb"] = points[-1][1]
    return measured


def charts(count: int) -> list[Chart]:
    return [
        Chart(
            kind="growth",
            title=f"{name}: memory of idle isolates",
            names=[f"{label_of(name, warmed=warmed)}_{count}_pss_mb" for warmed in (False, True)],
            unit="MB of PSS",
            along="isolates",
        )
        for name in ("javascript", "python")
    ]


def main() -> None:
    parser = options(__doc__, rounds=3, n=1_000, n_means="isolates in one process")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--warmed", type=int, help=argparse.SUPPRESS)
    arguments = parse(parser)
    if arguments.child:
        print(json.dumps(child(arguments.child, arguments.n, warmed=bool(arguments.warmed))), flush=True)
        os._exit(0)  # the engine is not to be torn down
    rounds = [one_round(arguments.n) for _ in counted("memory", arguments.rounds)]
    finish("memory", arguments, rounds, charts(arguments.n))


if __name__ == "__main__":
    main()
