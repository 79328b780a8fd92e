"""A webhook through the egress proxy, and the decision sent back as a signed callback, over a real cell."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from sandboxes.state import StateDirectory
from sandboxes.webhook_signature import Genuine, signed_headers, verify
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell
from tests.durable.shop import shop, write_shop_config
from tests.durable.test_recovery import ended
from tests.egress.lab import events_in
from tests.service.programs import request

RULE = {"name": "ask", "action": "ask", "tools": ["shop.place"]}


class Receiver:
    """A webhook's receiver: what it was sent, and the first answer it gives is that it cannot."""

    def __init__(self) -> None:
        self.sent: list[tuple[dict[str, str], bytes]] = []
        self.arrived = threading.Condition()
        self.port = 0

    def wait_for(self, count: int) -> list[tuple[dict[str, str], bytes]]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.sent) >= count, timeout=30)
            return list(self.sent)


@contextlib.contextmanager
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            with kept.arrived:
                kept.sent.append(({name.lower(): value for name, value in self.headers.items()}, body))
                kept.arrived.notify_all()
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        kept.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, name="receiver")
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


async def test_told_by_webhook_and_answered_by_callback(state: StateDirectory, tmp_path: Path) -> None:
    with shop() as kept, receiver() as hook:
        webhook = {"url": f"http://127.0.0.1:{hook.port}/hook", "networks": ["127.0.0.1/32"]}
        approvals: dict[str, Any] = {"webhook": webhook, "callback": True}
        config = write_shop_config(tmp_path, kept.port, [RULE], approvals=approvals)
        with durable_cell(state, config) as cell:
            await upstreams_settled(cell.grpc_address, cell.token)
            async with Client(cell.grpc_address, cell.token) as client:
                placing = request("return await codemode.shop.place({body: {amount: 5}});", profile="shop")
                execution = await client.execute(placing)
            ((headers, body),) = await asyncio.to_thread(hook.wait_for, 1)
            assert isinstance(verify(state.signing_key("webhook"), headers, body, time.time()), Genuine)
            told = json.loads(body)
            assert (told["type"], told["data"]["request"]["tool"]) == ("approval.requested", "shop.place")
            decision = {
                "approval_id": told["data"]["approval_id"],
                "digest": told["data"]["digest"],
                "decision": "approve",
                "approver": "alice",
            }
            sent = json.dumps(decision).encode()
            async with httpx2.AsyncClient(trust_env=False) as http:
                url = f"http://{cell.mcp_address}/approvals/decide"
                forged = await http.post(
                    url, content=sent, headers=signed_headers(b"x" * 32, "m0", int(time.time()), sent)
                )
                key = state.signing_key("callback")
                taken = await http.post(url, content=sent, headers=signed_headers(key, "m1", int(time.time()), sent))
                metrics = await http.get(f"http://{cell.mcp_address}/metrics")
            assert (forged.status_code, taken.status_code, metrics.status_code) == (401, 200, 401)
            done = await ended(cell.grpc_address, cell.token, execution.id)
            later = [json.loads(each)["type"] for _, each in await asyncio.to_thread(hook.wait_for, 2)]
    assert done.status == pb.STATUS_SUCCEEDED
    assert len(kept.writes) == 1
    assert later == ["approval.requested", "approval.approved"]
    rules = {event["rule"] for event in events_in(state.event_file) if event["execution"].endswith("approvals-webhook")}
    assert rules == {"approvals-webhook"}
