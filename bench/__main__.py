"""Every benchmark, one after another, each in a process of its own, and one table of all figures at the end.

Ends with status 1 if a benchmark failed or a floor was missed.
"""

import argparse
import subprocess
import sys
import time

from bench.result import read_result
from bench.run import RESULTS, progress
from bench.table import missed, table

BENCHMARKS = (
    "serve",
    "startup",
    "typescript",
    "fuel",
    "limits",
    "fairness",
    "memory",
    "package_images",
    "egress",
    "scan",
    "dlp",
    "revocation",
    "search",
    "tokens",
    "store",
    "durability",
    "soak",
)


def run(name: str, options: list[str]) -> bool:
    """Whether it ended well; its own table is left out, and what it says of its progress is not."""
    begun = time.perf_counter()
    progress(f"==> bench.{name}")
    done = subprocess.run([sys.executable, "-m", f"bench.{name}", *options], stdout=subprocess.DEVNULL, check=False)
    progress(f"    {'took' if done.returncode == 0 else 'FAILED after'} {time.perf_counter() - begun:.0f} s")
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", help=f"default: all of {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="that they run, not how fast: the figures mean little")
    arguments = parser.parse_args()
    names = arguments.name or list(BENCHMARKS)
    if unknown := set(names) - set(BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    failed = [name for name in names if not run(name, ["--quick"] * arguments.quick)]
    results = [read_result(RESULTS / f"{name}.json") for name in names if name not in failed]
    print(table(results))
    print("\nplots:", *(RESULTS / f"{result['benchmark']}.svg" for result in results), sep="\n  ")
    for problem in (*(f"bench.{name} failed" for name in failed), *(f"missed: {line}" for line in missed(results))):
        print(problem)
    sys.exit(1 if failed or missed(results) else 0)


if __name__ == "__main__":
    main()
