"""How upstreams stand as metrics, so that one that fails can raise an alarm."""

from collections.abc import Iterator
from typing import Final, get_args

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.portal.upstream_state import Phase
from runtime.portal.upstreams import Upstreams

_STATE: Final = "lockgate_upstream_state"
_FAILURES: Final = "lockgate_upstream_failures"
_TRIPS: Final = "lockgate_upstream_trips"


class UpstreamMetrics(Collector):
    """Labels come from the operator's file and a fixed list."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams

    def collect(self) -> Iterator[Metric]:
        """1 for the state each is in and 0 for the others; failures in a row; trips of its circuit breaker."""
        state = GaugeMetricFamily(_STATE, "Whether an upstream is in this state", labels=("upstream", "state"))
        failures = GaugeMetricFamily(_FAILURES, "Failures of an upstream in a row", labels=("upstream",))
        for name, standing in self._upstreams.standings().items():
            for phase in get_args(Phase):
                state.add_metric((name, phase), float(standing.phase == phase))
            failures.add_metric((name,), standing.failures)
        trips = CounterMetricFamily(_TRIPS, "How often calls of an upstream were stopped", labels=("upstream",))
        for name, count in self._upstreams.trips().items():
            trips.add_metric((name,), count)
        yield from (state, failures, trips)
