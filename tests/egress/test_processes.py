"""Several egress processes behind one address: one place for each execution, one set of commands, each kept alive."""

import base64
import os
import signal
import socket
from collections.abc import Iterator

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.front import token_in
from runtime.execution.outbound import Outbound, OutboundError, OutboundRequest
from sandboxes.shard import claimed_execution, shard_of
from tests.egress.lab import PROFILE, Lab, Wire, World, render, rule, rule_set, start

COUNT = 2


def of(shard: int, what: str) -> list[str]:
    """Names of executions that belong to a process; `what` keeps the tests apart."""
    return [name for n in range(60) if shard_of(name := f"{what}-{n}", COUNT) == shard]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, world: World) -> Iterator[Lab]:
    tmp_path = tmp_path_factory.mktemp("processes")
    terms = {
        PROFILE: {"name": "tests", "environments": ["dev"]},
        "two": {"name": "two", "environments": ["dev"], "budgets": {"execution": {"requests": 2}}},
    }
    hosts = {"api.example.test": "127.0.0.1"}
    made = start(tmp_path, world.open, hosts=hosts, processes=COUNT, terms=terms, metrics_file=str(tmp_path / "e.prom"))
    yield made
    assert made.stop() == 0


def ask(lab: Lab, world: World, execution: str, port: int | None = None, **claims: str) -> int:
    """The status of one request of an execution, at the one address or at a process of it."""
    token = lab.token(world.open, execution=execution, **claims)
    with socket.create_connection(("127.0.0.1", port or lab.port), timeout=15) as connection:
        wire = Wire(connection)
        wire.send(render(f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}", token))
        return wire.reply().status


def members(lab: Lab) -> list[psutil.Process]:
    return psutil.Process(lab.process.pid).children()


def test_every_execution_is_served_wherever_it_belongs(lab: Lab, world: World) -> None:
    assert len(members(lab)) == len(lab.ready["ports"]) == COUNT
    names = [name for shard in range(COUNT) for name in of(shard, "belongsevery")[:3]]
    assert [ask(lab, world, name) for name in names] == [200] * len(names)
    for name in names:
        assert lab.event(lambda event, name=name: event["execution"] == name)["status"] == 200


def test_a_process_refuses_what_is_anothers(lab: Lab, world: World) -> None:
    for shard, port in enumerate(lab.ready["ports"]):
        assert ask(lab, world, of(shard, "anothersa")[0], port) == 200
        assert ask(lab, world, of(1 - shard, "anothersa")[0], port) == 421


def test_a_second_token_on_a_connection_is_refused_if_it_belongs_elsewhere(lab: Lab, world: World) -> None:
    wire = lab.wire()
    head = f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}"
    for execution, status in [
        (of(0, "elsewherea")[0], 200),
        (of(0, "elsewherea")[1], 200),
        (of(1, "elsewherea")[0], 421),
    ]:
        wire.send(render(head, lab.token(world.open, execution=execution)))
        assert wire.reply().status == status


def test_a_budget_of_an_execution_is_exact_over_many_connections(lab: Lab, world: World) -> None:
    for name in (of(0, "connectionsa")[0], of(1, "connectionsa")[0]):
        assert [ask(lab, world, name, profile="two") for _ in range(4)] == [200, 200, 429, 429]


def test_one_command_reaches_all(lab: Lab, world: World) -> None:
    names = [of(0, "allone")[0], of(1, "allone")[0]]
    authority = f"api.example.test:{world.plain.port}"
    tunnels = [lab.tunnel(authority, lab.token(world.open, execution=name)) for name in names]
    assert lab.command(revoke=names) == {"done": True}
    assert [tunnel.eof() for tunnel in tunnels] == [True, True]
    assert [ask(lab, world, name) for name in names] == [407, 407]
    refused = lab.command(generation={"number": 0, "rule_sets": {}})
    assert "generation 0 is not newer than 0" in refused["error"]


def test_a_process_that_dies_is_started_again_and_knows_what_was_revoked(lab: Lab, world: World) -> None:
    gone, alive = of(0, "revokeda")[0], of(0, "revokeda")[1]
    lab.command(revoke=[gone])
    (first,) = [member for member in members(lab) if lab.ready["ports"][0] in _listens(member)]
    os.kill(first.pid, signal.SIGKILL)
    first.wait(10)
    statuses = []
    for _ in range(2_000):
        try:
            statuses.append(ask(lab, world, alive))
        except (OSError, EOFError):
            continue
        break
    assert statuses == [200]
    assert ask(lab, world, gone) == 407
    assert ask(lab, world, alive, lab.ready["ports"][0]) == 200
    assert ask(lab, world, of(1, "revokeda")[0]) == 200


def _listens(process: psutil.Process) -> set[int]:
    return {found.laddr.port for found in process.net_connections("inet") if found.status == psutil.CONN_LISTEN}


async def test_the_gateway_asks_the_right_process(lab: Lab, world: World) -> None:
    async with Outbound("127.0.0.1", *lab.ready["ports"]) as outbound:
        for name in (*of(0, "processthe")[:2], *of(1, "processthe")[:2]):
            reply = await outbound.send(OutboundRequest(url=f"{world.http}/"), lab.token(world.open, execution=name))
            assert reply.status == 200
    async with Outbound("127.0.0.1", *reversed(lab.ready["ports"])) as wrong:
        with pytest.raises(OutboundError, match="another egress process has this execution"):
            await wrong.send(
                OutboundRequest(url=f"{world.http}/"), lab.token(world.open, execution=of(0, "processthe")[0])
            )


def test_clients_that_say_little_are_answered_or_closed(lab: Lab, world: World) -> None:
    for said, status in [(b"nonsense\r\n\r\n", 400), (render("GET http://api.example.test/ HTTP/1.1\nHost: x"), 407)]:
        wire = lab.wire()
        wire.send(said)
        assert wire.reply().status == status
    lab.wire().close()
    slow = lab.wire()
    head = render(
        f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}",
        lab.token(world.open, execution=of(1, "closedclients")[0]),
    )
    for piece in (head[:40], head[40:200], head[200:]):
        slow.send(piece)
    assert slow.reply().status == 200


@pytest.mark.parametrize("shard", range(COUNT))
def test_no_rule_reaches_the_ports_of_the_service(lab: Lab, world: World, shard: int) -> None:
    """Also not those of the other process."""
    port = lab.ready["ports"][1 - shard]
    rules = rule_set(rule(hosts=["api.example.test"], ports=[port]))
    assert lab.command(rule_sets={rules.digest(): rules.model_dump(mode="json", by_alias=True)})["done"]
    token = lab.token(rules, execution=of(shard, "serviceno")[0])
    reply = lab.get(f"http://api.example.test:{port}/", token)
    assert (reply.status, reply.json()["code"]) == (403, "address")


@given(st.binary(max_size=300))
def test_no_head_breaks_the_search_for_its_token(head: bytes) -> None:
    assert isinstance(claimed_execution(token_in(head)), str)


def test_the_token_is_found_in_either_form(lab: Lab, world: World) -> None:
    token = lab.token(world.open, execution="e-1")
    basic = base64.b64encode(f"user:{token}".encode()).decode()
    for value in (f"Bearer {token}", f"basic {basic}"):
        head = f"GET / HTTP/1.1\r\nHost: x\r\nproxy-Authorization: {value}\r\n\r\n".encode()
        assert claimed_execution(token_in(head)) == "e-1"
