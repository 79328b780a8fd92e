"""Budgets at the live proxy: reached before, at and in the middle of a body, whichever way it goes."""

import json
import threading
from collections.abc import Iterator

import pytest

from runtime.execution.outbound import Outbound, OutboundError, OutboundRequest
from tests.egress.lab import Lab, Reply, World, render, start
from tests.egress.origin import Received, answer

BUDGETS = {
    "two": {"execution": {"requests": 2}},
    "together": {"profile": {"requests": 2}},
    "one-host": {"execution": {"hosts": 1}},
    "out": {"execution": {"bytes_out": 1_000}},
    "in": {"execution": {"bytes_in": 1_000}},
    "redirects": {"execution": {"redirects": 1}},
    "retries": {"execution": {"retries": 1}},
    "parallel": {"execution": {"parallel": 1}},
    "rate": {"execution": {"rate": {"per_second": 0.001, "burst": 1}}},
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Lab]:
    given = {name: {"name": name, "environments": ["dev"], "budgets": budgets} for name, budgets in BUDGETS.items()}
    hosts = {"api.example.test": "127.0.0.1", "other.example.test": "127.0.0.1"}
    made = start(tmp_path_factory.mktemp("budgets"), world.open, terms=given, hosts=hosts)
    yield made
    assert made.stop() == 0


def get(lab: Lab, world: World, profile: str, path: str = "/", host: str = "api.example.test", **claims: str) -> Reply:
    token = lab.token(world.open, profile=profile, **{"execution": profile, **claims})
    return lab.get(f"http://{host}:{world.plain.port}{path}", token)


def refused(reply: Reply, budget: str, scope: str, value: float) -> dict:
    assert reply.status == 429
    said = reply.json()
    assert (said["code"], said["hint"]["budget"], said["hint"]["scope"]) == ("budget", budget, scope)
    assert said["hint"]["value"] == value
    assert reply.note()["allowed"] is False
    return said["hint"]


def test_requests_of_one_execution(lab: Lab, world: World) -> None:
    statuses = [get(lab, world, "two").status for _ in range(2)]
    assert statuses == [200, 200]
    assert refused(get(lab, world, "two"), "requests", "execution", 2)["used"] == 2
    assert get(lab, world, "two", execution="another").status == 200
    assert len(world.plain.received) == 3


def test_a_budget_that_is_used_up_closes_no_tunnel_but_refuses_what_is_in_it(lab: Lab, world: World) -> None:
    authority = f"api.example.test:{world.plain.port}"
    wire = lab.tunnel(authority, lab.token(world.open, profile="two", execution="in a tunnel"))
    statuses = []
    for _ in range(3):
        wire.send(render(f"GET / HTTP/1.1\nHost: {authority}"))
        statuses.append(wire.reply().status)
    assert statuses == [200, 200, 429]


def test_requests_of_a_profile(lab: Lab, world: World) -> None:
    for execution in ("a", "b"):
        assert get(lab, world, "together", execution=f"together-{execution}").status == 200
    refused(get(lab, world, "together", execution="together-c"), "requests", "profile", 2)


def test_hosts(lab: Lab, world: World) -> None:
    assert get(lab, world, "one-host").status == 200
    refused(get(lab, world, "one-host", host="other.example.test"), "hosts", "execution", 1)
    assert get(lab, world, "one-host").status == 200


def test_a_rate_refuses_and_says_for_how_long(lab: Lab, world: World) -> None:
    assert get(lab, world, "rate").status == 200
    hint = refused(get(lab, world, "rate"), "rate", "execution", 0.001)
    assert 900 < hint["retry_after_s"] <= 1_000


def test_redirects(lab: Lab, world: World) -> None:
    world.plain.handler = lambda _: answer(b"", "302 Found", ("Location", "/next"))
    assert get(lab, world, "redirects", "/first").status == 302
    assert get(lab, world, "redirects", "/next").status == 302
    refused(get(lab, world, "redirects", "/next"), "redirects", "execution", 1)


def test_retries(lab: Lab, world: World) -> None:
    world.plain.handler = lambda _: answer(b"", "503 Service Unavailable")
    assert [get(lab, world, "retries").status for _ in range(2)] == [503, 503]
    refused(get(lab, world, "retries"), "retries", "execution", 1)


def test_parallel_requests(lab: Lab, world: World) -> None:
    asked, go = threading.Event(), threading.Event()

    def slow(_: Received) -> bytes:
        asked.set()
        go.wait(20)
        return answer()

    world.plain.handler = slow
    token = lab.token(world.open, profile="parallel")
    wire = lab.wire()
    wire.send(render(f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}", token))
    assert asked.wait(20)
    refused(lab.get(f"{world.http}/", token), "parallel", "execution", 1)
    go.set()
    assert wire.reply().status == 200
    assert lab.get(f"{world.http}/", token).status == 200
    wire.close()


def test_a_body_that_says_it_is_too_large_does_not_leave(lab: Lab, world: World) -> None:
    token = lab.token(world.open, profile="out", execution="announced")
    head = f"POST {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}\nContent-Length: 1001"
    assert refused(lab.request(head, token, b"x" * 1001), "bytes_out", "execution", 1_000)["sent"] is False
    assert world.plain.received == []


def test_a_budget_reached_in_the_middle_of_a_request_body(lab: Lab, world: World) -> None:
    token = lab.token(world.open, profile="out", execution="chunked")
    head = f"POST {world.http}/upload HTTP/1.1\nHost: api.example.test:{world.plain.port}\nTransfer-Encoding: chunked"
    wire = lab.wire()
    wire.send(render(head, token))
    for _ in range(4):
        wire.send(b"190\r\n" + b"x" * 400 + b"\r\n")
    wire.send(b"0\r\n\r\n")
    hint = refused(wire.reply(), "bytes_out", "execution", 1_000)
    assert hint["sent"] is True
    assert world.plain.received == []  # the upstream got the beginning of a request and then its end
    event = lab.record("/upload")
    assert (event["code"], event["allowed"], event["hint"]["budget"]) == ("budget", True, "bytes_out")


def test_an_answer_that_says_it_is_too_large_is_not_read(lab: Lab, world: World) -> None:
    world.plain.handler = lambda _: answer(b"x" * 1_001)
    assert refused(get(lab, world, "in", execution="announced-in"), "bytes_in", "execution", 1_000)["sent"] is True


@pytest.mark.parametrize("tunnel", [False, True], ids=["absolute form", "in a tunnel"])
def test_a_budget_reached_in_the_middle_of_an_answer(lab: Lab, world: World, tunnel: bool) -> None:
    def chunks(_: Received) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _number in range(3):
            yield b"190\r\n" + b"x" * 400 + b"\r\n"
        yield b"0\r\n\r\n"

    world.plain.handler = chunks
    authority, execution = f"api.example.test:{world.plain.port}", f"streamed-{tunnel}"
    token = lab.token(world.open, profile="in", execution=execution)
    wire = lab.tunnel(authority, token) if tunnel else lab.wire()
    target = "/stream" if tunnel else f"{world.http}/stream"
    wire.send(render(f"GET {target} HTTP/1.1\nHost: {authority}", None if tunnel else token))
    with pytest.raises((EOFError, ConnectionError)) as broken:
        wire.reply()
    assert b"0\r\n\r\n" not in (broken.value.args or (b"",))[0]
    event = lab.event(lambda event: event["execution"] == execution and event["path"] == "/stream")
    assert (event["code"], event["hint"]["value"]) == ("budget", 1_000)
    assert json.dumps(event).count("x" * 10) == 0


async def test_a_program_is_told_which_budget_and_how_much_of_it(lab: Lab, world: World) -> None:
    token = lab.token(world.open, profile="two", execution="told")
    request = OutboundRequest(url=f"{world.http}/")
    async with Outbound("127.0.0.1", lab.port) as outbound:
        for _ in range(2):
            await outbound.send(request, token)
        with pytest.raises(OutboundError, match="egress budget requests of this execution is used up: 2") as caught:
            await outbound.send(request, token)
    error = caught.value
    assert (error.code, error.retryable) == ("limit", False)
    assert {key: error.details[key] for key in ("budget", "value", "used", "sent")} == {
        "budget": "requests",
        "value": 2,
        "used": 2,
        "sent": False,
    }


async def test_a_program_is_told_of_an_answer_broken_off(lab: Lab, world: World) -> None:
    def chunks(_: Received) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        for _number in range(3):
            yield b"190\r\n" + b"x" * 400 + b"\r\n"
        yield b"0\r\n\r\n"

    world.plain.handler = chunks
    token = lab.token(world.open, profile="in", execution="told in")
    async with Outbound("127.0.0.1", lab.port) as outbound:
        with pytest.raises(OutboundError, match="bytes_in is used up: 1000 bytes were left") as caught:
            await outbound.send(OutboundRequest(url=f"{world.http}/"), token)
    assert (caught.value.code, caught.value.details["sent"]) == ("limit", True)
