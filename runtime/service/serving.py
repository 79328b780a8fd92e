"""The gateway's services, put together: the gRPC API and the MCP portal over one executor."""

import asyncio
import base64
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

import grpc

from runtime.execution.bounds import Bounds
from runtime.execution.executor import Executor
from runtime.execution.registry import Registry
from runtime.execution.results import MemoryResults
from runtime.execution.session_store import SessionStores
from runtime.execution.tokens import TokenMint
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
from runtime.service.foundations import Foundations
from runtime.service.garbage import Garbage
from runtime.service.governed import Governed
from runtime.service.handlers import generic_handler
from runtime.service.listeners import Listeners
from runtime.service.mcp_face import Answered, McpFace
from runtime.service.portal_servicer import PortalServicer
from runtime.service.readiness import Readiness
from runtime.service.recovery import recovery
from runtime.service.revoker import Revoker
from runtime.service.runtime_servicer import RuntimeServicer
from runtime.service.session import Sessions
from runtime.service.settings import GatewaySettings
from runtime.service.standard_services import standard_services
from runtime.service.upstream_messages import upstream_messages
from runtime.worker.pool import WorkerPool
from sandboxes.state import StateDirectory

log = logging.getLogger(__name__)

_STOP_GRACE_S = 1.0

type Say = Callable[[Mapping[str, Any]], None]


async def serve(
    settings: GatewaySettings, state: StateDirectory, foundations: Foundations, lines: asyncio.StreamReader, say: Say
) -> None:
    """Serve until `lines` ends. What the supervisor is told goes to `say`."""
    begin_grpc_at_once(asyncio.get_running_loop())
    config, profiles = settings.config, settings.profiles
    mint = TokenMint(base64.b64decode(settings.token_key), settings.generation)
    mint.on_revoked = Revoker(say).revoke
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
        pool, store = await stack.enter_async_context(foundations.laid())
        finder = Finder(upstreams, config.portal)
        kept, offers = config.kept, Offers()
        results, stores = MemoryResults(kept.results, store=store), SessionStores(kept.stores, store=store)
        own = OwnCalls(CatalogCalls(finder, lambda: servicer.profiles), results, stores)
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
            stores=stores,
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
        mcp = McpFace(settings.mcp_address)
        stack.callback(mcp.close)
        garbage = Garbage(lambda: executor.idle)
        await stack.enter_async_context(garbage.looked_after())
        say({"ready": True})
        answered = Answered(
            settings=settings, token=token, check=authenticator.bearer, upstreams=upstreams, beside=governed.beside
        )
        await stack.enter_async_context(mcp.answering(answered))
        follower = Follower(egress=egress, servicer=servicer, mint=mint, readiness=readiness)
        async for line in lines:
            if follower.obey(line):
                await stack.enter_async_context(upstreams)
                await stack.enter_async_context(recovery(executor, upstreams, store))
                await stack.enter_async_context(governed.running())


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
