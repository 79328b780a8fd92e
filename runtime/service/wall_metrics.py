"""The walls of MCP servers over stdio as metrics, so that one that does not stand can raise an alarm."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from runtime.enclosure.walls import Surroundings

type Servers = Callable[[], Mapping[str, Surroundings]]
"""The servers that run now, by the name of their upstream."""

_NAME: Final = "lockgate_server_wall"
_HELP: Final = "Whether a wall around an MCP server over stdio stands"


class WallMetrics(Collector):
    """One series for each wall of each server that runs. Labels come from the operator's files and a fixed list."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def collect(self) -> Iterator[Metric]:
        """1 for a wall that stands, 0 for one that does not."""
        gauge = GaugeMetricFamily(_NAME, _HELP, labels=("upstream", "network", "wall"))
        for upstream, surroundings in self._servers().items():
            for wall in surroundings.walls:
                labels = (upstream, surroundings.network.value, wall)
                gauge.add_metric(labels, float(wall not in surroundings.missing))
        yield gauge
