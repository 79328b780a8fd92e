"""All declared upstreams, each in its own task, and the catalog they make together."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from runtime.enclosure.enclosure import Way
from runtime.enclosure.walls import Surroundings
from runtime.execution.literal_request import Inverse
from runtime.portal.catalog import Catalog
from runtime.portal.catalog_change import change_between
from runtime.portal.document_cache import DocumentCache
from runtime.portal.guarded_upstream import GuardedUpstream
from runtime.portal.http_call import HttpSend
from runtime.portal.openapi_upstream import OpenApiService
from runtime.portal.preview import inverse_of
from runtime.portal.tool import SkippedTool, Tool
from runtime.portal.upstream import ServiceToken, Upstream
from runtime.portal.upstream_state import Backoff, UpstreamState
from sandboxes.upstream import McpHttpUpstream, McpStdioUpstream, OpenApiUpstream

if TYPE_CHECKING:
    from runtime.portal.mcp_transport import TransportFactory

log = logging.getLogger(__name__)

type AnyUpstream = OpenApiUpstream | McpStdioUpstream | McpHttpUpstream


class Upstreams:
    """Starts, supervises and stops. `async with` it; use it on one event loop only.

    `catalog` is replaced as a whole whenever an upstream's tools change; keep the reference for as long as
    one answer needs it and no longer.
    """

    def __init__(  # noqa: PLR0913 - everything an upstream may need, by kind
        self,
        configs: Mapping[str, AnyUpstream],
        *,
        send: HttpSend,
        transport: "TransportFactory",
        service_token: ServiceToken,
        way: Callable[[Callable[[], str]], Way],
        backoff: Backoff | None = None,
        cache: DocumentCache | None = None,
        reviews: Path | None = None,
    ) -> None:
        self.catalog = Catalog()
        self.states: dict[str, UpstreamState] = {name: UpstreamState(phase="starting") for name in configs}
        self._inverses = {name: config.inverses for name, config in configs.items()}
        self._changed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._working: set[asyncio.Future[None]] = set()
        self._running: dict[str, GuardedUpstream] = {
            name: GuardedUpstream(
                _service(name, config, send, transport, service_token, way, backoff or Backoff(), cache, reviews),
                call_timeout_s=config.call_timeout_ms / 1_000,
                changed=self._circuit_changed,
            )
            for name, config in configs.items()
        }

    async def __aenter__(self) -> Self:
        for name, upstream in self._running.items():
            self._tasks.append(asyncio.create_task(self._kept(upstream), name=f"upstream {name}"))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def find(self, name: str) -> GuardedUpstream | None:
        """The upstream of that name. None if none is declared."""
        return self._running.get(name)

    def inverse(self, tool: Tool) -> Inverse | None:
        """What undoes a call of a tool; None if nothing is declared."""
        return inverse_of(tool, self._inverses.get(tool.upstream, {}))

    def surroundings(self) -> dict[str, Surroundings]:
        """Of every MCP server that is a child and runs now, by its upstream's name."""
        return {name: state.surroundings for name, state in self.states.items() if state.surroundings is not None}

    def standing(self, name: str) -> UpstreamState:
        """How an upstream stands towards its callers: as in `states`, and what its circuit breaker says."""
        guarded = self._running.get(name)
        return self.states[name] if guarded is None else guarded.standing(self.states[name])

    def standings(self) -> dict[str, UpstreamState]:
        """Of every upstream, in the order of the configuration."""
        return {name: self.standing(name) for name in self.states}

    def trips(self) -> dict[str, int]:
        """How often the circuit breaker of each upstream tripped since the start."""
        return {name: guarded.breaker.trips for name, guarded in self._running.items()}

    async def settled(self, timeout_s: float) -> bool:
        """Wait until no upstream is starting; whether that came to be in time."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(state.phase == "starting" for state in self.states.values()):
                    await self.changed()
        except TimeoutError:
            return False
        return True

    async def changed(self) -> None:
        """Wait for the next change of any state or tool."""
        await self._changed.wait()

    async def _kept(self, upstream: Upstream) -> None:
        """Run an upstream; a fault of ours in it is its end and nobody else's."""
        try:
            await upstream.run(self._publish)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("upstream %s ended", upstream.name)
            self._publish(upstream.name, UpstreamState(phase="broken", reason="it failed inside Lockgate; see the log"))

    def _publish(
        self,
        name: str,
        state: UpstreamState,
        tools: tuple[Tool, ...] | None = None,
        skipped: tuple[SkippedTool, ...] = (),
    ) -> None:
        previous = self.states[name]
        if state.phase == "starting" and previous.phase == "down":
            state = previous
        if (state.phase, state.reason) != (previous.phase, previous.reason):
            log.info("upstream %s is %s", name, state)
        if state.phase == previous.phase:
            state = replace(state, since=previous.since)
        self.states[name] = state
        if tools is not None:
            earlier = self.catalog.by_upstream.get(name)
            if earlier is not None:
                tools = _with_observations(earlier, tools)
                self._beside(_log_change, name, earlier, tools)
            self.catalog = self.catalog.with_upstream(name, tools, skipped)
            self._beside(_prepare, self.catalog)
        self._tell()

    def _beside(self, work: Callable[..., None], *arguments: object) -> None:
        """Do what takes a moment beside the event loop."""
        doing = asyncio.get_running_loop().run_in_executor(None, work, *arguments)
        self._working.add(doing)
        doing.add_done_callback(self._working.discard)

    def _circuit_changed(self, name: str) -> None:
        standing = self.standing(name)
        if standing.phase == "tripped":
            log.warning("upstream %s is %s", name, standing)
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _with_observations(before: tuple[Tool, ...], after: tuple[Tool, ...]) -> tuple[Tool, ...]:
    """What was learnt of answers outlives a refresh of the same tool."""
    known = {(tool.name, tool.original): tool.observed for tool in before}
    return tuple(replace(tool, observed=known.get((tool.name, tool.original), tool.observed)) for tool in after)


def _log_change(name: str, before: tuple[Tool, ...], after: tuple[Tool, ...]) -> None:
    """What is different now."""
    if change := change_between(before, after):
        log.info("upstream %s has other tools: %s", name, change)


def _prepare(catalog: Catalog) -> None:
    """What a call of a tool that does not exist will need."""
    _ = catalog.near_names


def _service(  # noqa: PLR0913, PLR0917 - everything an upstream may need, by kind
    name: str,
    config: AnyUpstream,
    send: HttpSend,
    transport: "TransportFactory",
    service_token: ServiceToken,
    way: Callable[[Callable[[], str]], Way],
    backoff: Backoff,
    cache: DocumentCache | None,
    reviews: Path | None,
) -> Upstream:
    if isinstance(config, OpenApiUpstream):
        return OpenApiService(name, config, send=send, service_token=service_token, backoff=backoff, cache=cache)
    from runtime.portal.mcp_service import mcp_service  # noqa: PLC0415 - the MCP SDK takes a third of a second

    return mcp_service(
        name, config, transport=transport, service_token=service_token, way=way, backoff=backoff, reviews=reviews
    )
