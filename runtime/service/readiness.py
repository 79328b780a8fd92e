"""Whether an execution may start here at all: engines that are not known to be broken, walls that a profile demands."""

from collections.abc import Callable, Mapping, Sequence

import grpc

from runtime.enclosure.walls import Surroundings
from runtime.isolate.versions import EngineState
from runtime.rpc import runtime_pb2 as pb
from runtime.rpc.upstream_pb2 import UpstreamState
from runtime.service.errors import ApiError
from sandboxes.profile import Profile
from sandboxes.walls import WALLS, lockdown_suffices, missing_walls

_RETRY_S = 0.25

type Report = Mapping[str, str]
"""What the workers say: wall to "up" or to the reason it does not stand; empty while none is ready."""


class Readiness:
    """The engines as found at the start, and the walls as workers and MCP servers over stdio report them now.

    `generation` is that of the configuration in force, `problem` why the files as they are now cannot be loaded.
    """

    def __init__(
        self,
        engines: Sequence[EngineState],
        walls: Callable[[], Report],
        servers: Callable[[], Mapping[str, Surroundings]] = dict,
        upstreams: Callable[[], Sequence[UpstreamState]] = list,
    ) -> None:
        self._engines = tuple(engines)
        self._walls = walls
        self._servers = servers
        self._upstreams = upstreams
        self.generation = 0
        self.problem = ""
        self._refusals = "; ".join(engine.decision.reason for engine in engines if not engine.decision.allowed)

    @property
    def refusals(self) -> str:
        """Why no execution starts on these engines; empty if they do."""
        return self._refusals

    def check(self, profile: Profile) -> None:
        """Raises ApiError if no program of this profile may start."""
        if self._refusals:
            message = f"no new execution is started: {self._refusals}"
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "VULNERABLE_ENGINE", message)
        if not profile.require_lockdown:
            return
        report = self._walls()
        if not report:
            message = "no worker is ready; whether the walls this profile requires stand is not known yet"
            raise ApiError(grpc.StatusCode.UNAVAILABLE, "NO_WORKER", message, retry_after_s=_RETRY_S)
        decision = lockdown_suffices(profile.require_lockdown, report)
        if not decision.allowed:
            message = f"profile {profile.name}: {decision.reason}"
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "LOCKDOWN_MISSING", message)

    def message(self) -> pb.GetHealthResponse:
        """For the health call."""
        report = self._walls()
        missing = missing_walls(report)
        return pb.GetHealthResponse(
            accepting=bool(report) and not self._refusals,
            engines=[_engine_message(engine) for engine in self._engines],
            walls=[pb.Wall(name=wall, reason=missing.get(wall, "")) for wall in WALLS] if report else [],
            generation=self.generation,
            configuration_problem=self.problem,
            servers=[_server_message(name, surroundings) for name, surroundings in self._servers().items()],
            upstreams=self._upstreams(),
        )


def _server_message(upstream: str, surroundings: Surroundings) -> pb.EnclosedServer:
    missing = surroundings.missing
    walls = [pb.Wall(name=wall, reason=missing.get(wall, "")) for wall in surroundings.walls]
    return pb.EnclosedServer(upstream=upstream, network=surroundings.network, walls=walls)


def _engine_message(engine: EngineState) -> pb.Engine:
    refusal = "" if engine.decision.allowed else engine.decision.reason
    return pb.Engine(name=engine.engine, version=engine.version, least_version=engine.least, refusal=refusal)
