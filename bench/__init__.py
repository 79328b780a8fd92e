"""Benchmarks: `python -m bench.NAME [--json FILE]` writes one JSON object with machine, commit and figures."""
