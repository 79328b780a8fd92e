"""The gateway process: the gRPC API and the MCP portal over one executor. `python -m runtime.service.gateway`.

Settings come as one JSON line on standard input, the egress proxy's address as a later one; a ready line goes
out on standard output. The end of the input ends the gateway.
"""

import asyncio
import base64
import contextlib
import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from pydantic import SecretStr, ValidationError

from runtime.execution.bounds import Bounds
from runtime.execution.executor import Executor
from runtime.execution.registry import Registry
from runtime.execution.results import MemoryResults
from runtime.execution.session_store import SessionStores
from runtime.execution.tokens import TokenMint
from runtime.isolate.compiled import compiled_image
from runtime.isolate.shipped import TYPE_ERASER, wasm_path
from runtime.isolate.versions import found_versions, judge
from runtime.portal.caller import ToolCaller
from runtime.portal.catalog_calls import CatalogCalls
from runtime.portal.document_cache import DocumentCache
from runtime.portal.finder import Finder
from runtime.portal.offers import Offers
from runtime.portal.own_calls import OwnCalls
from runtime.portal.upstreams import Upstreams
from runtime.rpc import control_pb2, portal_pb2, runtime_pb2
from runtime.service.auth import Authenticator
from runtime.service.control_servicer import ControlServicer
from runtime.service.eager_tasks import begin_grpc_at_once
from runtime.service.egress_link import EgressLink
from runtime.service.follower import Follower
from runtime.service.garbage import Garbage
from runtime.service.governed import Governed
from runtime.service.handlers import generic_handler
from runtime.service.kept_images import keeping_images, older_images
from runtime.service.listeners import Listeners
from runtime.service.mcp_face import serve_mcp
from runtime.service.needed_images import needed_images
from runtime.service.portal_servicer import PortalServicer
from runtime.service.pruning import pruning
from runtime.service.readiness import Readiness
from runtime.service.recovery import recovery
from runtime.service.revoker import Revoker
from runtime.service.runtime_servicer import RuntimeServicer
from runtime.service.session import Sessions
from runtime.service.settings import GatewaySettings
from runtime.service.standard_services import standard_services
from runtime.service.upstream_messages import upstream_messages
from runtime.store.errors import StoreError
from runtime.store.store import Store
from runtime.worker.pool import PoolSettings, WorkerPool
from sandboxes.image_file import load_images
from sandboxes.state import StateDirectory, open_state

log = logging.getLogger(__name__)

_STOP_GRACE_S = 1.0


async def serve(settings: GatewaySettings, lines: asyncio.StreamReader) -> None:
    """Serve until `lines` ends."""
    state = open_state(settings.state_dir)
    config, profiles = settings.config, settings.profiles
    mint = TokenMint(base64.b64decode(settings.token_key), settings.generation)
    mint.on_revoked = Revoker(_say).revoke
    token = state.token().get_secret_value()
    authenticator = Authenticator(token)
    async with contextlib.AsyncExitStack() as stack:
        egress = EgressLink(str(state.ca_file))
        stack.push_async_callback(egress.close)
        upstreams = Upstreams(
            config.upstreams,
            send=egress.send,
            transport=egress.transport,
            service_token=mint.for_service,
            way=egress.way,
            cache=DocumentCache(state.documents),
            reviews=state.tools,
        )
        pool, store = await _started(settings, state, stack)
        finder = Finder(upstreams, config.portal)
        kept, offers = config.kept, Offers()
        results = MemoryResults(kept.results, store=store)
        own = OwnCalls(
            CatalogCalls(finder, lambda: servicer.profiles), results, SessionStores(kept.stores, store=store)
        )
        caller = ToolCaller(upstreams, own, offers, infer=config.portal.infer)
        governed = Governed(
            store=store,
            state=state,
            channels=config.approvals,
            tools=caller,
            egress=egress,
            mint=mint,
            profiles=lambda: servicer.profiles,
        )
        executor = Executor(
            pool,
            caller,
            egress,
            mint,
            bounds=Bounds(held_bytes=config.held_bytes),
            registry=Registry(kept.executions),
            results=results,
            store=store,
            gate=governed.gate,
        )
        readiness = _readiness(settings, pool, upstreams)
        sessions = Sessions(offers, lambda: upstreams.states)
        servicer = RuntimeServicer(executor, profiles, readiness, sessions, governed.attach(executor, caller.inverse))
        portal, control = PortalServicer(finder, offers, lambda: servicer.profiles), ControlServicer(governed.approvals)
        listeners = await _listeners(settings.grpc_address, authenticator, servicer, portal, control)
        await listeners.start()
        stack.push_async_callback(listeners.stop, _STOP_GRACE_S)
        stack.push_async_callback(executor.close)
        await stack.enter_async_context(serve_mcp(settings, token, authenticator.bearer, upstreams, governed.beside))
        garbage = Garbage(lambda: executor.idle)
        garbage.collect_all()
        await stack.enter_async_context(garbage.looked_after())
        _say({"ready": True})
        follower = Follower(egress=egress, servicer=servicer, mint=mint, readiness=readiness)
        async for line in lines:
            if follower.obey(line):
                await stack.enter_async_context(upstreams)
                await stack.enter_async_context(recovery(executor, upstreams, store))
                await stack.enter_async_context(governed.running())


async def _started(
    settings: GatewaySettings, state: StateDirectory, stack: contextlib.AsyncExitStack
) -> tuple[WorkerPool, Store]:
    """The workers and the store, which start beside each other and end with `stack`."""
    opening = asyncio.create_task(_opened(settings, state))
    stack.push_async_callback(_closed, opening)
    declared = load_images([Path(place) for place in settings.config.images])
    images = await needed_images(settings.profiles.values(), state.images, declared)
    images += await older_images(opening, state, images)
    eraser = await compiled_image(TYPE_ERASER, wasm_path(TYPE_ERASER), state.images)
    pool = WorkerPool(images, eraser, PoolSettings(workers=settings.workers, slots=settings.slots))
    stack.push_async_callback(pool.close)
    _, store = await asyncio.gather(pool.start(), opening)
    await stack.enter_async_context(pruning(store))
    await stack.enter_async_context(keeping_images(store, state, images))
    return pool, store


def _readiness(settings: GatewaySettings, pool: WorkerPool, upstreams: Upstreams) -> Readiness:
    readiness = Readiness(
        judge(found_versions(), settings.config.accept_vulnerable_versions),
        pool.walls,
        upstreams.surroundings,
        lambda: upstream_messages(upstreams),
    )
    readiness.generation, readiness.problem = settings.generation, settings.problem
    if readiness.refusals:
        log.error("no execution is started: %s", readiness.refusals)
    return readiness


async def _opened(settings: GatewaySettings, state: StateDirectory) -> Store:
    """The store that the configuration describes. SQLAlchemy takes a quarter of a second to load: beside the zygote."""

    def configured() -> Store:
        from runtime.store.configured import configured_store  # noqa: PLC0415 - as said

        return configured_store(settings.config.store, state, SecretStr(settings.store_password))

    store = await asyncio.to_thread(configured)
    await store.open()
    return store


async def _closed(opening: asyncio.Task[Store]) -> None:
    opening.cancel()
    with contextlib.suppress(asyncio.CancelledError, StoreError):
        await (await opening).close()


async def _listeners(
    address: str,
    authenticator: Authenticator,
    servicer: RuntimeServicer,
    portal: PortalServicer,
    control: ControlServicer,
) -> Listeners:
    runtime = runtime_pb2.DESCRIPTOR.services_by_name["Runtime"]
    portal_service = portal_pb2.DESCRIPTOR.services_by_name["Portal"]
    control_service = control_pb2.DESCRIPTOR.services_by_name["Control"]
    handlers = (
        generic_handler(runtime, servicer, authenticator),
        generic_handler(portal_service, portal, authenticator),
        generic_handler(control_service, control, authenticator),
    )
    names = (runtime.full_name, portal_service.full_name, control_service.full_name)
    add_standard = await standard_services(names, authenticator)

    def add_services(server: grpc.aio.Server) -> None:
        server.add_generic_rpc_handlers(handlers)
        add_standard(server)

    return Listeners(address, add_services)


def _say(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _main() -> None:
    lines = asyncio.StreamReader(limit=64 << 20)
    loop = asyncio.get_running_loop()
    begin_grpc_at_once(loop)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    try:
        settings = GatewaySettings.model_validate_json(await lines.readline())
        loop.add_signal_handler(signal.SIGTERM, lines.feed_eof)
        await serve(settings, lines)
    except (ValidationError, OSError, RuntimeError, TimeoutError, ValueError) as error:
        log.debug("the gateway did not start", exc_info=True)
        _say({"ready": False, "error": str(error)})


def main() -> None:
    """Run until told to end."""
    logging.basicConfig(level=logging.INFO, format="gateway: %(levelname)s %(message)s", stream=sys.stderr)
    # What a server cannot make them say as often as it likes: the SDK logs what it cannot read, with its content, and
    # its HTTP client every request.
    for name in ("mcp", "client", "httpx2"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # A connection that broke cannot be closed either: the store says in one line what is wrong.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    asyncio.run(_main())
    sys.stdout.flush()


if __name__ == "__main__":
    main()
