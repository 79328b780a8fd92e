"""The README shows what `make demo` prints: the same lines, but for ports, times and the order of parallel calls."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_VARYING = [
    (re.compile(r"127\.0\.0\.1:\d+|internal:\d+"), "HOST:PORT"),
    (re.compile(r"[\d.]+ (ms|s)\b"), "N.N \\1"),
]


def normalised(text: str) -> list[str]:
    for pattern, replacement in _VARYING:
        text = pattern.sub(replacement, text)
    return sorted(line.rstrip() for line in text.splitlines() if line.strip())


def transcript() -> str:
    page = (ROOT / "README.md").read_text()
    shown = page.partition("<!-- transcript:begin -->")[2].partition("<!-- transcript:end -->")[0]
    return shown.replace("```text", "").replace("```", "")


def test_the_readme_shows_what_the_demo_prints():
    done = subprocess.run(
        [sys.executable, "-m", "tests.demo"], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr
    assert normalised(transcript()) == normalised(done.stdout)
