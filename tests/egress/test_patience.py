"""Slow-loris, both ways: whoever stands still is given up, in bounded time, with a reason."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.patience import Phase, overdue
from runtime.execution.outbound import Outbound, OutboundError, OutboundRequest
from sandboxes.egress import Patience
from tests.egress.lab import Lab, World, render, start
from tests.egress.origin import Received, answer

SHORT = {"body_s": 0.3, "answer_s": 0.3, "events_s": 1_000}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Lab]:
    hosts = {"api.example.test": "127.0.0.1"}
    made = start(tmp_path_factory.mktemp("patience"), world.open, hosts=hosts, patience=SHORT)
    yield made
    assert made.stop() == 0


@pytest.fixture
def over(world: World) -> Iterator[threading.Event]:
    """Set at the end of a test, so that no origin waits on."""
    event = threading.Event()
    yield event
    event.set()


def head(world: World, path: str, *headers: str) -> str:
    first = [f"POST {world.http}{path} HTTP/1.1", f"Host: api.example.test:{world.plain.port}"]
    return "\n".join([*first, *headers])


@given(st.sampled_from(["sending", "waiting", "receiving"]), st.floats(0, 1e6), st.floats(0, 1e6), st.booleans())
def test_no_exchange_lasts_for_ever(phase: Phase, still: float, total: float, events: bool) -> None:
    patience = Patience()
    longest = max(patience.body_s, patience.answer_s, patience.events_s)
    found = overdue(patience, phase, still, total, events=events)
    assert found is not None or (still <= longest and total <= patience.total_s)


def test_a_client_that_trickles_no_body(lab: Lab, world: World) -> None:
    wire = lab.wire()
    wire.send(render(head(world, "/trickle", "Content-Length: 10"), lab.token(world.open)) + b"x")
    reply = wire.reply()
    assert (reply.status, reply.json()["code"]) == (408, "slow")
    assert wire.eof()
    assert lab.record("/trickle")["code"] == "slow"


def test_an_upstream_that_does_not_answer(lab: Lab, world: World, over: threading.Event) -> None:
    def silent(_: Received) -> bytes:
        over.wait(30)
        return answer()

    world.plain.handler = silent
    reply = lab.request(head(world, "/silent", "Content-Length: 0"), lab.token(world.open))
    assert (reply.status, reply.json()["error"]) == (502, "upstream_timeout")
    assert lab.record("/silent")["code"] == "upstream_timeout"


def test_an_upstream_that_trickles_its_head(lab: Lab, world: World, over: threading.Event) -> None:
    def drip(_: Received) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nX-"
        while not over.wait(0.05):
            yield b"a"

    world.plain.handler = drip
    reply = lab.request(head(world, "/drip", "Content-Length: 0"), lab.token(world.open))
    assert reply.json()["error"] == "upstream_timeout"


def test_an_upstream_that_stops_in_the_middle_of_its_answer(lab: Lab, world: World, over: threading.Event) -> None:
    def stops(_: Received) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
        over.wait(30)

    world.plain.handler = stops
    with pytest.raises((EOFError, ConnectionError)):
        lab.request(head(world, "/half", "Content-Length: 0"), lab.token(world.open))
    assert lab.record("/half")["code"] == "slow"


def test_an_event_stream_may_be_silent(lab: Lab, world: World) -> None:
    def events(_: Received) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 4\r\n\r\nab"
        threading.Event().wait(1)  # three times as long as any other body may stand still
        yield b"cd"

    world.plain.handler = events
    assert lab.request(head(world, "/events", "Content-Length: 0"), lab.token(world.open)).body == b"abcd"


async def test_a_program_is_told(lab: Lab, world: World, over: threading.Event) -> None:
    def silent(_: Received) -> bytes:
        over.wait(30)
        return answer()

    world.plain.handler = silent
    async with Outbound("127.0.0.1", lab.port) as outbound:
        with pytest.raises(OutboundError, match=r"did not begin its answer for 0\.3 s") as caught:
            await outbound.send(OutboundRequest(url=f"{world.http}/"), lab.token(world.open))
    assert (caught.value.code, caught.value.details["sent"]) == ("timeout", True)
