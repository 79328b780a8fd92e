"""What every benchmark prints: the machine, the commit, and figures whose names end in their unit."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def machine() -> str:
    """Processor, cores in use, kernel and Python."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    cores = len(os.sched_getaffinity(0))
    return f"{model}, {cores} cores, Linux {platform.release()}, Python {platform.python_version()}"


def commit() -> str:
    """The checkout's commit, with `+` if it has changes."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = subprocess.check_output(["git", "rev-parse", "--short=12", "HEAD"], cwd=root, text=True).strip()
        dirty = subprocess.check_output(["git", "status", "--porcelain", "-uno"], cwd=root, text=True).strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if dirty else "")


def median_of(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Each figure's median over the rounds."""
    return {name: statistics.median(figures[name] for figures in rounds) for name in rounds[0]}


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(figures: Mapping[str, float], json_path: str | None = None) -> None:
    """Print the object, and write it to `json_path` if given."""
    rounded = {name: round(value, 4) for name, value in figures.items()}
    text = json.dumps({"machine": machine(), "commit": commit(), "figures": rounded}, indent=2)
    print(text)
    if json_path is not None:
        Path(json_path).write_text(text + "\n")
