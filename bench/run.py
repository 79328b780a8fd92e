"""What every benchmark does around its measuring: options, progress, result, plot, table."""

import argparse
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bench.machine import ROOT
from bench.result import Chart, Round, make_result, write_result
from bench.table import table

RESULTS = ROOT / "build" / "bench"
_QUICK = 20


def options(description: str | None, *, rounds: int, n: int, n_means: str) -> argparse.ArgumentParser:
    """The options that all benchmarks share; `n_means` says what --n counts here."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=_positive, default=rounds, help=f"default: {rounds}")
    parser.add_argument("--n", type=_positive, default=n, help=f"{n_means}; default: {n:,}")
    parser.add_argument("--json", type=Path, help="where the result goes; default: build/bench/NAME.json")
    plot = "draw an SVG beside the result; default: yes"
    parser.add_argument("--plot", action=argparse.BooleanOptionalAction, default=True, help=plot)
    parser.add_argument("--quick", action="store_true", help=f"one round of n/{_QUICK}: that it runs, not how fast")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of this process; --quick is already worked into `rounds` and `n`."""
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.n = 1, max(5, arguments.n // _QUICK)
    return arguments


def counted(name: str, rounds: int) -> Iterator[int]:
    """The numbers of the rounds, each told to who waits."""
    for number in range(rounds):
        progress(f"{name}: round {number + 1} of {rounds}")
        yield number


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def finish(name: str, arguments: argparse.Namespace, rounds: Sequence[Round], charts: Iterable[Chart]) -> None:
    """Write the result and the plot, and print the table."""
    command = shlex.join(["python", "-m", f"bench.{name}", *sys.argv[1:]])
    result = make_result(name, command, rounds, list(charts))
    path = (arguments.json or RESULTS / f"{name}.json").absolute()
    write_result(result, path)
    print(table([result]))
    print(f"result  {path}")
    if arguments.plot:
        from bench.plot import draw  # noqa: PLC0415 - matplotlib takes half a second and is not always installed

        print(f"plot    {draw(result, path.with_suffix('.svg'))}")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value
