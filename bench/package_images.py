"""What a declared image costs: `python -m bench.package_images`. The example image beside the Python image.

Start-up and first uses are those of programs over a whole cell, each in a fresh warmed isolate; `first_use` is the
run time that the reply gives for a program that imports a package and uses it once. Memory is the growth of PSS in a
process that loads the image and makes warmed isolates of it, as the zygote and the workers do.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import psutil

from bench.cell import bench_request, profile, running_cell
from bench.report import median_of, percentile, report
from runtime.client import Client
from runtime.isolate.compiled import compiled_image
from runtime.isolate.shipped import wasm_path
from sandboxes.images import image_path
from sandboxes.images.build import build_image

IMAGE = "data-basics"
WARM_UP = 50
FURTHER = 20
CACHE = Path(__file__).resolve().parent.parent / ".lockgate" / "images"
FIRST_USES = {
    "dateutil": "from dateutil import parser\nparser.parse('3 Mar 2026 14:05')",
    "yaml": "import yaml\nyaml.safe_load('a: [1, 2]')",
    "bs4": "from bs4 import BeautifulSoup\nBeautifulSoup('<p>a<b>c', 'html.parser').select_one('p b').text",
    "tabulate": "from tabulate import tabulate\ntabulate([[1, 2]], headers=['a', 'b'])",
    "jinja2": "from jinja2 import Template\nTemplate('{% for x in y %}{{ x }}{% endfor %}').render(y=[1, 2])",
}


async def timed(client: Client, code: str, name: str, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds of whole calls, and of the programs in them."""
    calls, runs = [], []
    for _ in range(count):
        begun = time.perf_counter()
        execution = await client.execute(bench_request(code, "python", profile_name=name))
        calls.append((time.perf_counter() - begun) * 1e3)
        assert not execution.error.message, execution.error
        runs.append(execution.timings.run_us / 1e3)
    return calls, runs


async def one_round(client: Client, count: int) -> dict[str, float]:
    figures = {}
    for name in ("plain", "packages"):
        calls, _ = await timed(client, "1 + 1", name, count)
        figures[f"{name}_call_p50_ms"] = percentile(calls, 0.50)
        figures[f"{name}_call_p95_ms"] = percentile(calls, 0.95)
    for package, code in FIRST_USES.items():
        _, runs = await timed(client, code, "packages", max(5, count // 20))
        figures[f"{package}_first_use_ms"] = statistics.median(runs)
    return figures


def memory(name: str) -> dict[str, float]:
    """Megabytes of PSS: loading and the first warmed isolate, whose pages all share; every further warmed one."""
    from runtime.isolate.engine import make_engine  # noqa: PLC0415 - only the child loads Wasmtime
    from runtime.isolate.images import load_image  # noqa: PLC0415

    compiled = asyncio.run(compiled_image(name, wasm_path(name), CACHE))
    with tempfile.TemporaryDirectory() as folder:
        # A copy: of a file that a running cell maps as well, PSS would count a share only.
        path = Path(shutil.copy(compiled.path, folder))
        me = psutil.Process()
        engine = make_engine()
        begin = me.memory_full_info().pss
        image = load_image(engine, replace(compiled, path=path))
        kept = [image.isolate()]
        kept[0].warm()
        first = me.memory_full_info().pss
        for _ in range(FURTHER):
            kept.append(image.isolate())
            kept[-1].warm()
        last = me.memory_full_info().pss
    return {"once_pss_mb": (first - begin) / 1e6, "each_warmed_pss_mb": (last - first) / FURTHER / 1e6}


def child_memory(name: str) -> dict[str, float]:
    """In a process of its own, since memory once touched is not given back."""
    command = [sys.executable, "-m", "bench.package_images", "--child", name]
    return {f"{name}_{key}": value for key, value in json.loads(subprocess.check_output(command)).items()}


async def measure(count: int, repeats: int) -> dict[str, float]:
    await asyncio.to_thread(build_image, IMAGE)
    plain = profile("plain", isolation="shared", languages=["python"])
    packages = profile("packages", isolation="shared", languages=["python"], image=IMAGE)
    spent = {**await asyncio.to_thread(child_memory, "python"), **await asyncio.to_thread(child_memory, IMAGE)}
    async with running_cell(plain, packages) as cell, Client(cell.grpc_address, cell.token) as client:
        for name in ("plain", "packages"):
            await timed(client, "1 + 1", name, WARM_UP)
        figures = [await one_round(client, count) for _ in range(repeats)]
    size = image_path(IMAGE).stat().st_size / 1e6
    return {"image_mb": size, **spent, **median_of(figures)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(memory(arguments.child)), flush=True)
        os._exit(0)  # the engine is not to be torn down
    report(asyncio.run(measure(arguments.n, arguments.rounds)), arguments.json)


if __name__ == "__main__":
    main()
