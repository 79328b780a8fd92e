"""What a declared image costs: the example image beside the Python image.

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

from bench.cell import IMAGES, bench_request, profile, running_cell
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from runtime.client import Client
from runtime.isolate.compiled import compiled_image
from runtime.isolate.shipped import wasm_path
from sandboxes.images import image_path
from sandboxes.images.build import build_image

IMAGE = "data-basics"
PROFILES = {"plain": "python", "packages": IMAGE}
WARM_UP = 50
FURTHER = 20
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


async def one_round(client: Client, count: int, figures: dict[str, float]) -> Round:
    measured = Round(figures=dict(figures))
    for name in PROFILES:
        calls, _ = await timed(client, "1 + 1", name, count)
        measured.sample(f"{name}_call_ms", calls)
    for package, code in FIRST_USES.items():
        _, runs = await timed(client, code, "packages", max(5, count // 20))
        measured.figures[f"{package}_first_use_ms"] = statistics.median(runs)
    return measured


def memory(name: str) -> dict[str, float]:
    """Megabytes of PSS: loading and the first warmed isolate, whose pages all share; every further warmed one."""
    from runtime.isolate.engine import make_engine  # noqa: PLC0415 - only the child loads Wasmtime
    from runtime.isolate.images import load_image  # noqa: PLC0415

    compiled = asyncio.run(compiled_image(name, wasm_path(name), IMAGES))
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


async def measure(arguments: argparse.Namespace) -> list[Round]:
    await asyncio.to_thread(build_image, IMAGE)
    profiles = [
        profile(name, isolation="shared", languages=["python"], image=image) for name, image in PROFILES.items()
    ]
    figures = {"image_mb": image_path(IMAGE).stat().st_size / 1e6}
    for image in PROFILES.values():
        figures |= await asyncio.to_thread(child_memory, image)
    async with running_cell(*profiles) as cell, Client(cell.grpc_address, cell.token) as client:
        for name in PROFILES:
            await timed(client, "1 + 1", name, WARM_UP)
        numbers = counted("package_images", arguments.rounds)
        return [await one_round(client, arguments.n, figures) for _ in numbers]


CHARTS = [
    Chart(
        kind="distribution",
        title="1 + 1, whole call",
        names=[f"{name}_call_ms" for name in PROFILES],
        unit="ms",
    ),
    Chart(
        kind="bars",
        title="First use of a package in a fresh isolate",
        names=[f"{package}_first_use_ms" for package in FIRST_USES],
        unit="ms",
    ),
    Chart(
        kind="bars",
        title="Memory",
        names=[f"{image}_{what}_pss_mb" for what in ("once", "each_warmed") for image in PROFILES.values()],
        unit="MB of PSS",
    ),
]


def main() -> None:
    parser = options(__doc__, rounds=3, n=300, n_means="calls under each profile in a round")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parse(parser)
    if arguments.child:
        print(json.dumps(memory(arguments.child)), flush=True)
        os._exit(0)  # the engine is not to be torn down
    finish("package_images", arguments, asyncio.run(measure(arguments)), CHARTS)


if __name__ == "__main__":
    main()
