"""The price of fuel: how much faster a guest computes where its profile counts none.

The same program in the same cell, in turns under a profile that counts fuel and one that does not. Speed is taken
from the guest's own processor time, as the reply gives it.
"""

import argparse
import asyncio
import statistics

from bench.caller import Caller
from bench.cell import bench_request, profile, running_cell
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from runtime.client import Language
from runtime.service.cell import Cell

PROGRAMS: dict[Language, str] = {
    "javascript": """
let x = 1; const seen = new Map();
for (let i = 0; i < 300000; i++) { x = (x * 1103515245 + 12345) % 2147483648; seen.set(x % 512, [i, `${x}`]); }
seen.size""",
    "python": """
x = 1; seen = {}
for i in range(150_000):
    x = (x * 1103515245 + 12345) % 2147483648
    seen[x % 512] = [i, f"{x}"]
len(seen)""",
}
LIMITS = {"cpu_ms": 60_000, "active_ms": 60_000, "wall_ms": 120_000}


def one_round(cell: Cell, count: int) -> Round:
    measured = Round()
    with Caller(cell.grpc_address, cell.token) as caller:
        for language, code in PROGRAMS.items():
            times: dict[str, list[float]] = {"plain": [], "fuel": []}
            for _ in range(count):
                for name, kept in times.items():
                    _, execution = caller.timed(bench_request(code, language, profile_name=name))
                    kept.append(execution.usage.cpu_us / 1e3)
            for name, kept in times.items():
                measured.sample(f"{language}_{name}_cpu_ms", kept)
            slower = statistics.median(times["fuel"]) / statistics.median(times["plain"])
            measured.figures[f"{language}_fuel_price_percent"] = 100 * (1 - 1 / slower)
    return measured


async def measure(arguments: argparse.Namespace) -> list[Round]:
    plain = profile("plain", isolation="shared", limits=LIMITS)
    counting = profile("fuel", isolation="shared", limits={**LIMITS, "fuel": 10**15})
    async with running_cell(plain, counting) as cell:
        return [await asyncio.to_thread(one_round, cell, arguments.n) for _ in counted("fuel", arguments.rounds)]


CHARTS = [
    Chart(
        kind="bars",
        title="Guest speed lost to counting fuel",
        names=[f"{language}_fuel_price_percent" for language in PROGRAMS],
        unit="%",
    ),
    *(
        Chart(
            kind="distribution",
            title=f"{language}: processor time of one program",
            names=[f"{language}_{name}_cpu_ms" for name in ("plain", "fuel")],
            unit="ms",
        )
        for language in PROGRAMS
    ),
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=5, n=10, n_means="runs of each program in a round"))
    finish("fuel", arguments, asyncio.run(measure(arguments)), CHARTS)


if __name__ == "__main__":
    main()
