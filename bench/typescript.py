"""What TypeScript adds: calls of a 2 KB program with types, and of the same program without them.

The second is the first as Lockgate's own eraser leaves it: spaces where the types were, so that both have the same
length and run the same code. They take turns in a shuffled order: in a fixed one each would have a worker for itself.
"""

import argparse
import asyncio
import random

from bench.caller import Caller
from bench.cell import IMAGES, bench_request, profile, running_cell
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from runtime.isolate.compiled import compiled_image
from runtime.isolate.engine import make_engine
from runtime.isolate.erasure import Erased
from runtime.isolate.images import load_eraser
from runtime.isolate.shipped import TYPE_ERASER, wasm_path
from runtime.service.cell import Cell

SIZE = 2_048
WARM_UP = 50
_BLOCK = """\
interface Order%(n)d { id: number; customer: string; lines: Array<{ sku: string; price: number; count: number }> }
type Total%(n)d = Readonly<Record<Order%(n)d["customer"], number>>;
function totals%(n)d<T extends Order%(n)d>(orders: readonly T[], least: number = 0): Total%(n)d {
  const sums: Map<string, number> = new Map<string, number>();
  for (const order of orders) {
    const sum: number = order.lines.reduce((all: number, line): number => all + line.price * line.count, 0);
    sums.set(order.customer as string, (sums.get(order.customer) ?? 0) + sum);
  }
  return Object.fromEntries([...sums].filter(([, sum]: [string, number]) => sum >= least)) satisfies Total%(n)d;
}
"""


def program() -> str:
    """At least SIZE bytes of what models write, ending in an expression."""
    code = ""
    while len(code) < SIZE:
        code += _BLOCK % {"n": len(code)}
    return code + 'totals0([{ id: 1, customer: "a", lines: [{ sku: "x", price: 2, count: 3 }] }])["a"]'


async def erased(code: str) -> str:
    eraser = load_eraser(make_engine(), await compiled_image(TYPE_ERASER, wasm_path(TYPE_ERASER), IMAGES))
    found = eraser.erase(code)
    assert isinstance(found, Erased), found
    return found.code


def one_round(cell: Cell, with_types: str, without: str, count: int) -> Round:
    typed = bench_request(with_types, "typescript", profile_name="typescript")
    plain = bench_request(without, "javascript", profile_name="typescript")
    times: tuple[list[float], list[float]] = ([], [])
    turns = list(zip((typed, plain), times, strict=True)) * count
    random.Random(1).shuffle(turns)
    with Caller(cell.grpc_address, cell.token) as caller:
        for request, _ in turns[:WARM_UP]:
            caller.timed(request)
        for request, kept in turns:
            kept.append(caller.timed(request)[0])
    measured = Round()
    measured.sample("typescript_call_ms", times[0])
    measured.sample("without_types_call_ms", times[1])
    for share in (50, 95):
        typed_ms, plain_ms = (measured.figures[f"{name}_call_p{share}_ms"] for name in ("typescript", "without_types"))
        measured.figures[f"typescript_added_p{share}_ms"] = typed_ms - plain_ms
    measured.figures["program_bytes_count"] = float(len(with_types))
    return measured


async def measure(arguments: argparse.Namespace) -> list[Round]:
    code = program()
    without = await erased(code)
    async with running_cell(profile("typescript", isolation="shared")) as cell:
        return [
            await asyncio.to_thread(one_round, cell, code, without, arguments.n)
            for _ in counted("typescript", arguments.rounds)
        ]


CHARTS = [
    Chart(
        kind="distribution",
        title="A program of 2 KB with and without types: whole call",
        names=["without_types_call_ms", "typescript_call_ms"],
        unit="ms",
    ),
    Chart(kind="bars", title="Added by types", names=["typescript_added_p50_ms", "typescript_added_p95_ms"], unit="ms"),
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=5, n=500, n_means="calls of each program in a round"))
    finish("typescript", arguments, asyncio.run(measure(arguments)), CHARTS)


if __name__ == "__main__":
    main()
