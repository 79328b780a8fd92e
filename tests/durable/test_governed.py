"""Edits, fetches, dry runs, rollbacks and the command line, all of one cell with an upstream that records."""

import getpass
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import control_pb2
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from tests.cell import ROOT, open_shared_state, upstreams_settled
from tests.durable.conftest import durable_cell
from tests.durable.shop import REFUSED, Shop, shop, write_shop_config
from tests.durable.test_recovery import ended
from tests.service.programs import CONTEXT, request

RULES: list[dict[str, Any]] = [
    {"name": "never", "action": "deny", "arguments": {"/body/amount": {"values": [666]}}},
    {"name": "large", "action": "ask", "tools": ["shop.place"], "arguments": {"/body/amount": {"above": 100}}},
    {"name": "undoing", "action": "ask", "tools": ["shop.cancel"], "after_writes": 3},
    {"name": "sending", "action": "ask", "kinds": ["fetch"], "effects": ["write"]},
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cell, Shop, Path]]:
    directory = tmp_path_factory.mktemp("governed")
    with shop() as kept:
        config = write_shop_config(directory, kept.port, RULES)
        with durable_cell(open_shared_state(directory / "state"), config) as cell:
            yield cell, kept, directory / "state"


@pytest.fixture
def asked(place: tuple[Cell, Shop, Path]) -> Shop:
    place[1].asked.clear()
    return place[1]


@pytest.fixture
async def client(place: tuple[Cell, Shop, Path]) -> AsyncIterator[Client]:
    cell = place[0]
    await upstreams_settled(cell.grpc_address, cell.token)
    async with Client(cell.grpc_address, cell.token) as made:
        yield made


@pytest.fixture
def cell(place: tuple[Cell, Shop, Path]) -> Cell:
    return place[0]


async def run(client: Client, code: str, language: Any = "javascript", **fields: Any) -> pb.Execution:
    asking = request(code, language, profile="shop")
    for name, value in fields.items():
        setattr(asking, name, value)
    return await client.execute(asking)


async def pending(client: Client, execution: pb.Execution) -> control_pb2.Approval:
    assert execution.status == pb.STATUS_PAUSED, execution
    (waiting,) = execution.pending_approvals
    return await client.approvals.get(waiting.approval_id)


PLACE = "return await codemode.shop.place({body: {amount: 500, items: ['a', 'b', 'c'], password: 'hunter2'}});"


async def test_an_approver_narrows_what_is_sent(cell: Cell, client: Client, asked: Shop) -> None:
    execution = await run(client, PLACE)
    approval = await pending(client, execution)
    assert json.loads(approval.arguments_json)["body"]["password"] == "[removed: 7 characters]"
    assert "hunter2" not in str(approval)
    assert json.loads(approval.request.body) == json.loads(approval.arguments_json)["body"]
    with pytest.raises(grpc.aio.AioRpcError) as wider:
        await client.approvals.decide([approval], approve=True, approver="alice", edits={"/body/amount": 501})
    assert wider.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    edits = {"/body/amount": 50, "/body/items": ["b"]}
    await client.approvals.decide([approval], approve=True, approver="alice", edits=edits)
    done = await ended(cell.grpc_address, cell.token, execution.id)
    assert asked.writes == [("POST", "/orders", {"amount": 50, "items": ["b"], "password": "hunter2"})]
    (call,) = done.host_calls
    assert list(call.edits) == ["/body/amount was 500 and is 50", "/body/items had 3 items and has 1"]
    assert json.loads(done.result_json)["amount"] == 50


async def test_the_program_can_see_what_was_changed(cell: Cell, client: Client, asked: Shop) -> None:
    seen = "const r = await codemode.shop.place.response({body: {amount: 500}}); return r.edits;"
    execution = await run(client, seen)
    await client.approvals.decide(
        [await pending(client, execution)], approve=True, approver="alice", edits={"/body/amount": 5}
    )
    done = await ended(cell.grpc_address, cell.token, execution.id)
    assert json.loads(done.result_json) == ["/body/amount was 500 and is 5"]


async def test_an_edit_does_not_get_around_a_rule_that_denies(cell: Cell, client: Client, asked: Shop) -> None:
    execution = await run(client, "return await codemode.shop.place({body: {amount: 1000}});")
    approval = await pending(client, execution)
    await client.approvals.decide([approval], approve=True, approver="alice", edits={"/body/amount": 666})
    done = await ended(cell.grpc_address, cell.token, execution.id)
    assert (done.status, done.error.call.code) == (pb.STATUS_PROGRAM_ERROR, "denied")
    assert asked.writes == []


async def test_a_fetch_that_changes_something_is_asked_for(place: Any, client: Client, asked: Shop) -> None:
    cell, kept, _ = place
    url = f"http://shop.test.internal:{kept.port}/hook?token=abc"
    code = f"const r = await fetch({url!r}, {{method: 'POST', body: '{{}}'}}); return r.status;"
    approval = await pending(client, execution := await run(client, code))
    assert (approval.kind, approval.tool, approval.request.method) == ("fetch", "", "POST")
    assert approval.request.url == url.replace("abc", "[removed: 3 characters]")
    assert "abc" not in approval.arguments_json
    await client.approvals.decide([approval], approve=True, approver="alice")
    done = await ended(cell.grpc_address, cell.token, execution.id)
    assert done.result_json == "200"
    assert [path for _, path, _ in asked.asked] == ["/hook?token=abc"]


DRY = {
    "javascript": """
        const before = await codemode.shop.orders({});
        const placed = await codemode.shop.place({body: {amount: 500}});
        const sent = await (await fetch("URL/hook", {method: "POST", body: "x"})).json();
        return [typeof before.placed, placed.dry_run, sent.dry_run];
    """,
    "python": """
before = await codemode.shop.orders()
placed = await codemode.shop.place(body={"amount": 500})
sent = (await fetch("URL/hook", method="POST", body="x")).json()
["number", placed["dry_run"], sent["dry_run"]]
    """,
}


@pytest.mark.parametrize("language", DRY)
async def test_a_dry_run_reads_and_plans(place: Any, client: Client, asked: Shop, language: str) -> None:
    _, kept, _ = place
    url = f"http://shop.test.internal:{kept.port}"
    done = await run(client, DRY[language].replace("URL", url), language, dry_run=True)
    assert done.status == pb.STATUS_SUCCEEDED, done.error
    assert json.loads(done.result_json) == ["number", True, True]
    assert [method for method, _, _ in asked.asked] == ["GET"]
    placed, sent = done.plan
    assert (placed.number, placed.target, placed.decision) == (2, "shop.place", "ask")
    assert (placed.request.method, placed.request.url) == ("POST", f"{kept.url}/orders")
    assert json.loads(placed.request.body) == {"amount": 500}
    assert (sent.request.method, sent.request.url, sent.request.body) == ("POST", f"{url}/hook", "x")
    assert placed.risk > 0
    assert not done.error.side_effects_possible


async def test_a_dry_run_is_denied_what_it_would_be(client: Client, asked: Shop) -> None:
    done = await run(client, "return await codemode.shop.place({body: {amount: 666}});", dry_run=True)
    assert (done.error.call.code, asked.asked) == ("denied", [])
    done = await run(client, "return await codemode.shop.place({body: {}});", dry_run=True)
    assert (done.error.call.code, asked.asked) == ("invalid_argument", [])


FAILING = {
    "javascript": f"""
        await codemode.shop.place({{body: {{amount: 1}}}});
        await codemode.shop.note({{body: {{amount: 2}}}});
        await codemode.shop.place({{body: {{amount: 3}}}});
        await codemode.shop.place({{body: {{amount: {REFUSED}}}}});
    """,
    "python": f"""
await codemode.shop.place(body={{"amount": 1}})
await codemode.shop.note(body={{"amount": 2}})
await codemode.shop.place(body={{"amount": 3}})
await codemode.shop.place(body={{"amount": {REFUSED}}})
    """,
}


@pytest.mark.parametrize("language", FAILING)
async def test_a_failed_execution_is_undone_in_reverse_order(client: Client, asked: Shop, language: str) -> None:
    first = (await run(client, "return (await codemode.shop.orders({})).placed")).result_json
    asked.asked.clear()
    done = await run(client, FAILING[language], language, on_failure=pb.ON_FAILURE_ROLLBACK)
    assert done.status == pb.STATUS_PROGRAM_ERROR
    cancelled = [path for method, path, _ in asked.asked if method == "DELETE"]
    assert cancelled == [f"/orders/{int(first) + 3}", f"/orders/{int(first) + 1}"]
    told = [(step.call_number, step.target, step.tool, step.outcome) for step in done.rollback]
    assert told == [
        (3, "shop.place", "shop.cancel", "undone"),
        (2, "shop.note", "", "not undoable"),
        (1, "shop.place", "shop.cancel", "undone"),
    ]
    undoing = await client.execution(done.rollback[0].execution_id)
    assert [call.target for call in undoing.host_calls] == ["shop.cancel", "shop.cancel"]
    assert undoing.context.owner == done.context.owner
    assert done.id in undoing.context.reason
    again = await client.execution(done.id)
    assert again.rollback == done.rollback


async def test_what_is_offered_is_done_when_asked_for_and_once(client: Client, asked: Shop) -> None:
    done = await run(client, FAILING["javascript"])
    assert [step.outcome for step in done.rollback] == ["offered", "not undoable", "offered"]
    assert not [method for method, _, _ in asked.asked if method == "DELETE"]
    for _ in range(2):
        undone = await client.rollback(done.id, CONTEXT)
        assert [step.outcome for step in undone.rollback] == ["undone", "not undoable", "undone"]
    assert len([method for method, _, _ in asked.asked if method == "DELETE"]) == 2


async def test_a_step_that_needs_a_human_waits_and_the_others_are_told(cell: Cell, client: Client, asked: Shop) -> None:
    many = "for (let n = 0; n < 5; n++) await codemode.shop.place({body: {amount: 1}}); throw new Error('no');"
    done = await run(client, many, on_failure=pb.ON_FAILURE_ROLLBACK)
    assert {step.outcome for step in done.rollback} == {"paused"}
    undoing = await client.execution(done.rollback[0].execution_id)
    (waiting,) = undoing.pending_approvals
    approval = await client.approvals.get(waiting.approval_id)
    await client.approvals.decide([approval], approve=False, approver="alice", reason="keep it")
    async for approval in client.approvals.watch():
        if approval.execution_id == undoing.id and approval.state == control_pb2.APPROVAL_STATE_OPEN:
            await client.approvals.decide([approval], approve=True, approver="alice")
            break
    await ended(cell.grpc_address, cell.token, undoing.id)
    after = await client.execution(done.id)
    assert [step.outcome for step in after.rollback] == ["undone", "undone", "undone", "denied", "undone"]


async def test_what_succeeded_or_runs_for_another_is_not_undone(client: Client, asked: Shop) -> None:
    done = await run(
        client, "return await codemode.shop.place({body: {amount: 1}});", on_failure=pb.ON_FAILURE_ROLLBACK
    )
    assert done.status == pb.STATUS_SUCCEEDED
    assert list(done.rollback) == []
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.rollback(done.id, CONTEXT)
    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(grpc.aio.AioRpcError) as unknown:
        await client.rollback("exe_0", CONTEXT)
    assert unknown.value.code() is grpc.StatusCode.NOT_FOUND


def lockgate(place: tuple[Cell, Shop, Path], *arguments: str) -> subprocess.CompletedProcess[str]:
    cell, _, state = place
    command = [sys.executable, "-m", "runtime.cli", *arguments, "--server", cell.grpc_address]
    env = {**os.environ, "LOCKGATE_HOME": str(state)}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=env, cwd=ROOT, timeout=60, input="")


async def test_undone_from_the_command_line(place: Any, client: Client, asked: Shop) -> None:
    asking = request(FAILING["javascript"], profile="shop")
    asking.context.owner = getpass.getuser()
    done = await client.execute(asking)
    undone = lockgate(place, "rollback", done.id)
    assert undone.stdout.splitlines() == [
        "call 3 shop.place: undone by shop.cancel",
        "call 2 shop.note: not undoable no inverse is declared",
        "call 1 shop.place: undone by shop.cancel",
    ]
    assert undone.returncode == 0


async def test_from_the_command_line(place: Any, client: Client, asked: Shop) -> None:
    execution = await run(client, PLACE)
    approval = await pending(client, execution)
    for words, told in (
        (("--execution", "exe_0"), "lockgate: no call of exe_0 waits for a decision; --all lists decided ones, too\n"),
        (("--execution", "exe_0", "--all"), "lockgate: there are no approvals of exe_0\n"),
        (("--execution", "exe_0", "--json"), ""),
    ):
        nothing = lockgate(place, "approvals", "list", *words)
        assert (nothing.returncode, nothing.stdout, nothing.stderr) == (0, "", told)
    listed = lockgate(place, "approvals", "list", "--execution", execution.id)
    assert listed.stdout.startswith(f"{approval.id}  open  risk")
    shown = lockgate(place, "approvals", "show", approval.id).stdout
    assert approval.digest in shown
    assert "hunter2" not in shown
    assert "/orders" in shown
    unseen = lockgate(place, "approvals", "approve", approval.id, "--approver", "alice")
    assert (unseen.returncode, "ID@DIGEST" in unseen.stderr) == (4, True)
    wrong = lockgate(place, "approvals", "approve", f"{approval.id}@sha256:{'0' * 64}", "--approver", "alice")
    assert wrong.returncode == 4
    denied = lockgate(place, "approvals", "deny", approval.id, "--approver", "alice", "--reason", "not now")
    assert (denied.returncode, "denied" in denied.stdout) == (0, True)
    late = lockgate(place, "approvals", "approve", f"{approval.id}@{approval.digest}", "--approver", "bob")
    assert late.returncode != 0
    assert "alice" in late.stderr
    done = await ended(place[0].grpc_address, place[0].token, execution.id)
    assert done.error.message.endswith("not now")
