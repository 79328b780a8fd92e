"""Counters of what met the proxy, as Prometheus text in a file that the gateway serves: nothing listens here."""

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_METHODS: Final = frozenset({"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
_MOST_RULES: Final = 1_000
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """Labels come from rules and from fixed lists only: nothing that a program chooses makes a new time series."""

    def __init__(self, path: str | None) -> None:
        self._path = None if path is None else Path(path)
        self._registry = CollectorRegistry()
        self._rules: set[str] = set()
        self._requests = Counter(
            "lockgate_egress_requests",
            "Requests that met the egress proxy, by outcome.",
            ["decision", "code", "rule", "method", "status"],
            registry=self._registry,
        )
        self._bytes = Counter(
            "lockgate_egress_bytes", "Bytes of bodies.", ["direction", "rule"], registry=self._registry
        )
        self._redactions = Counter(
            "lockgate_egress_redactions", "Secrets taken out of answers.", ["rule"], registry=self._registry
        )
        self._seconds = Histogram(
            "lockgate_egress_request_seconds",
            "From a request's head to its end.",
            ["decision"],
            registry=self._registry,
            buckets=_SECONDS,
        )
        self._faults = Counter(
            "lockgate_egress_faults", "Hooks that failed and denied.", ["hook"], registry=self._registry
        )
        self._healthy = Gauge(
            "lockgate_egress_healthy", "1 while events can be recorded; at 0 nothing leaves.", registry=self._registry
        )

    def count(self, event: Mapping[str, Any]) -> None:
        """Count one event of the log."""
        if event.get("event") != "egress":
            self._faults.labels(str(event.get("hook"))).inc()
            return
        rule = self._rule(event["rule"])
        decision = "allowed" if event["allowed"] else "denied"
        method = event["method"] if event["method"] in _METHODS else "other"
        status = f"{event['status'] // 100}xx" if event["status"] else "none"
        self._requests.labels(decision, event["code"], rule, method, status).inc()
        self._seconds.labels(decision).observe(event["duration_ms"] / 1_000)
        for direction in ("in", "out"):
            if event[f"bytes_{direction}"]:
                self._bytes.labels(direction, rule).inc(event[f"bytes_{direction}"])
        if event["redactions"]:
            self._redactions.labels(rule).inc(event["redactions"])

    def write(self, *, healthy: bool) -> None:
        """Replace the file. A disk that does not take it is told by `healthy`, not here."""
        self._healthy.set(1 if healthy else 0)
        if self._path is None:
            return
        draft = self._path.with_name(f".{self._path.name}.new")
        with contextlib.suppress(OSError):
            draft.write_bytes(self.text())
            draft.chmod(0o600)
            draft.replace(self._path)

    def text(self) -> bytes:
        """Everything counted so far, in Prometheus' text format."""
        return generate_latest(self._registry)

    def _rule(self, name: str | None) -> str:
        """Rules are named by profiles; a bound all the same, for a service that has thousands of them."""
        if name is None:
            return ""
        if len(self._rules) < _MOST_RULES:
            self._rules.add(name)
        return name if name in self._rules else "other"
