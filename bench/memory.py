"""What idle isolates cost: `python -m bench.memory`. Growth of PSS by 1,000 of them in one process, by image.

In a child process for each figure, since memory once touched is not given back.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from bench.report import median_of, report
from runtime.isolate.compiled import compiled_image
from runtime.isolate.shipped import wasm_path

COUNT = 1_000
CACHE = Path(__file__).resolve().parent.parent / ".lockgate" / "images"


def child(name: str, *, warmed: bool) -> float:
    """Megabytes that COUNT isolates add."""
    from runtime.isolate.engine import make_engine  # noqa: PLC0415 - only the child loads Wasmtime
    from runtime.isolate.images import load_image  # noqa: PLC0415

    image = load_image(make_engine(), asyncio.run(compiled_image(name, wasm_path(name), CACHE)))
    image.isolate().warm()
    me = psutil.Process()
    before = me.memory_full_info().pss
    kept = [image.isolate() for _ in range(COUNT)]
    if warmed:
        for isolate in kept:
            isolate.warm()
    return float(me.memory_full_info().pss - before) / 1e6


def one_round() -> dict[str, float]:
    figures = {}
    for name, warmed in (("javascript", False), ("javascript", True), ("python", False), ("python", True)):
        command = [sys.executable, "-m", "bench.memory", "--child", name, "--warmed", str(int(warmed))]
        figures[f"{name}_{'warmed' if warmed else 'unwarmed'}_1000_pss_mb"] = float(subprocess.check_output(command))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--warmed", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(child(arguments.child, warmed=bool(arguments.warmed))), flush=True)
        os._exit(0)  # the engine is not to be torn down
    report(median_of([one_round() for _ in range(arguments.rounds)]), arguments.json)


if __name__ == "__main__":
    main()
