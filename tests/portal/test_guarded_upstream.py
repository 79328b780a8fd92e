"""Upstreams that fail again and again, over real sockets: calls of them fail at once, and nobody else's."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.execution.hostcall import HostCallError
from runtime.portal.circuit_breaker import MOST_FAILURES
from runtime.portal.upstreams import Upstreams
from runtime.service.upstream_messages import upstream_messages
from runtime.service.upstream_metrics import UpstreamMetrics
from sandboxes.upstream import OpenApiUpstream
from tests.portal.parts import QUICK, as_json, caller_of, context, served, stdio_notes, until, upstreams

DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "paths": {"/things": {"get": {"operationId": "listThings"}, "post": {"operationId": "addThing"}}},
}


class Shop:
    """Answers what `status` says, or never while it is 0."""

    def __init__(self) -> None:
        self.status = 200
        self.asked = 0

    async def answer(self, _: Request) -> Response:
        self.asked += 1
        if not self.status:
            await asyncio.sleep(3_600)
        return JSONResponse({"ok": self.status}, status_code=self.status)

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/things", self.answer, methods=["GET", "POST"])])


def shop_at(port: int, tmp_path: Path, **more: Any) -> OpenApiUpstream:
    document = tmp_path / "shop.json"
    document.write_bytes(as_json(DOCUMENT))
    return OpenApiUpstream(
        kind="openapi", document=str(document), base_url=f"http://127.0.0.1:{port}", retries=0, **more
    )


async def failure(running: Upstreams, name: str, seconds: float = 20, **arguments: Any) -> HostCallError:
    with pytest.raises(HostCallError) as error:
        await caller_of(running).call(name, arguments, context(seconds=seconds))
    return error.value


async def value(running: Upstreams, name: str, **arguments: Any) -> Any:
    return json.loads((await caller_of(running).call(name, arguments, context())).payload)


def quickly(running: Upstreams, name: str) -> None:
    """Shorter waits than a service has."""
    guarded = running.find(name)
    assert guarded is not None
    guarded.breaker.backoff = QUICK


def samples(running: Upstreams) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("state", "")): sample.value
        for metric in UpstreamMetrics(running).collect()
        for sample in metric.samples
        if sample.labels["upstream"] == "shop" and sample.value
    }


async def test_one_that_is_not_there_is_no_longer_asked_and_is_tried_again(tmp_path: Path) -> None:
    shop = Shop()
    async with (
        served(shop.app()) as port,
        upstreams({"shop": shop_at(port, tmp_path), "notes": stdio_notes()}) as running,
    ):
        assert await running.settled(20)
        shop.status = 503
        for _ in range(MOST_FAILURES):
            assert (await failure(running, "shop.addThing")).status == 503
        refused = await failure(running, "shop.listThings")
        assert shop.asked == MOST_FAILURES
        assert (refused.code, refused.retryable, refused.details["sent"]) == ("unavailable", True, False)
        assert 0 < (refused.retry_after or 0) <= 1
        assert f"{MOST_FAILURES} calls in a row failed, the last: shop.addThing" in refused.message
        assert await value(running, "notes.say", text="meanwhile") == "meanwhile"

        told = next(message for message in upstream_messages(running) if message.name == "shop")
        assert (told.state, told.failures, told.tools) == ("tripped", MOST_FAILURES, 2)
        assert told.since.seconds > 0
        assert "calls in a row failed" in told.reason
        assert samples(running) == {
            ("lockgate_upstream_state", "tripped"): 1,
            ("lockgate_upstream_failures", ""): MOST_FAILURES,
            ("lockgate_upstream_trips_total", ""): 1,
        }

        shop.status = 200
        async with asyncio.timeout(20):
            while running.standing("shop").phase == "tripped":
                await asyncio.sleep(0.02)
        assert running.standing("shop").phase == "probing"
        assert await value(running, "shop.listThings") == {"ok": 200}
        assert running.standing("shop").phase == "ready"


async def test_a_trial_that_fails_is_the_only_one_of_many_calls_that_is_made(tmp_path: Path) -> None:
    shop = Shop()
    async with served(shop.app()) as port, upstreams({"shop": shop_at(port, tmp_path)}) as running:
        assert await running.settled(20)
        quickly(running, "shop")
        shop.status = 502
        for _ in range(MOST_FAILURES):
            await failure(running, "shop.listThings")
        async with asyncio.timeout(20):
            while running.standing("shop").phase == "tripped":
                await asyncio.sleep(0.005)
        await asyncio.gather(*(failure(running, "shop.listThings") for _ in range(20)))
        assert shop.asked == MOST_FAILURES + 1
        assert running.find("shop").breaker.trips == 2  # type: ignore[union-attr]


async def test_one_that_hangs_is_not_waited_for_any_longer(tmp_path: Path) -> None:
    shop = Shop()
    settings = shop_at
    async with (
        served(shop.app()) as port,
        upstreams({"shop": settings(port, tmp_path, call_timeout_ms=200)}) as running,
    ):
        assert await running.settled(20)
        shop.status = 0
        late = await asyncio.gather(*(failure(running, "shop.listThings") for _ in range(MOST_FAILURES)))
        assert {error.code for error in late} == {"timeout"}
        asked = shop.asked
        assert (await failure(running, "shop.listThings")).code == "unavailable"
        assert shop.asked == asked


async def test_programs_in_a_hurry_and_answers_of_any_kind_trip_nothing(tmp_path: Path) -> None:
    shop = Shop()
    async with served(shop.app()) as port, upstreams({"shop": shop_at(port, tmp_path)}) as running:
        assert await running.settled(20)
        for status in (400, 404, 429, 500, 501):
            shop.status = status
            for _ in range(MOST_FAILURES):
                await failure(running, "shop.listThings")
        shop.status = 0
        for _ in range(MOST_FAILURES):
            assert (await failure(running, "shop.listThings", seconds=0.05)).code == "timeout"
        shop.status = 200
        assert await value(running, "shop.listThings") == {"ok": 200}
        assert running.find("shop").breaker.trips == 0  # type: ignore[union-attr]


async def test_an_mcp_server_that_is_down_says_when_to_come_back() -> None:
    async with upstreams({"notes": stdio_notes()}) as running:
        await until(running, lambda: running.states["notes"].phase == "ready")
        for _ in range(3):
            await failure(running, "notes.die")
            await until(running, lambda: running.states["notes"].phase == "down")
            assert running.states["notes"].failures >= 1
            refused = await failure(running, "notes.say", text="x")
            assert refused.code == "unavailable"
            assert (refused.retry_after or 0) > 0
            await until(running, lambda: running.states["notes"].phase == "ready")
        assert await value(running, "notes.say", text="back") == "back"
