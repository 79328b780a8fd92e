"""`GET /metrics`, behind the API's token: what the egress proxy's processes counted, and how upstreams stand."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from runtime.portal.upstreams import Upstreams
from runtime.service.upstream_metrics import UpstreamMetrics
from runtime.service.wall_metrics import WallMetrics

PATH: Final = "/metrics"
_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_FILES: Final = "egress*.prom"


def metrics_route(state_dir: Path, upstreams: Upstreams) -> Route:
    """The route. Files and upstreams are read again for each request."""
    own = (WallMetrics(upstreams.surroundings), UpstreamMetrics(upstreams))

    def metrics(_: Request) -> Response:
        return Response(summed(sorted(state_dir.glob(_FILES)), *own), media_type=_CONTENT_TYPE)

    return Route(PATH, metrics)


def summed(files: Iterable[Path], *more: Collector) -> bytes:
    """One text of several, the values of equal series added, and what further collectors have."""
    registry = CollectorRegistry()
    for collector in (_Sum(files), *more):
        registry.register(collector)
    return generate_latest(registry)


class _Sum(Collector):
    """Families of all files. `healthy` is the lowest of them: one process that cannot record is a fault."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._texts = [text for file in files if (text := _read(file)) is not None]

    def collect(self) -> Iterator[Metric]:
        families: dict[str, Metric] = {}
        values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
        for text in self._texts:
            for family in text_string_to_metric_families(text):
                families.setdefault(family.name, family)
                known = values.setdefault(family.name, {})
                for sample in family.samples:
                    key = (sample.name, tuple(sample.labels.items()))
                    known[key] = _joined(family.type, known.get(key), sample.value, created=sample.name)
        for name, family in families.items():
            made = Metric(name, family.documentation, family.type)
            for (sample_name, labels), value in values[name].items():
                made.add_sample(sample_name, dict(labels), value)
            yield made


def _joined(kind: str, before: float | None, value: float, *, created: str) -> float:
    if before is None:
        return value
    return min(before, value) if kind == "gauge" or created.endswith("_created") else before + value


def _read(file: Path) -> str | None:
    try:
        return file.read_text()
    except OSError:
        return None
