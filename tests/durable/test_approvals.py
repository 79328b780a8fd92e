"""Calls that need a human: paused without an isolate, decided, and gone on with, also after the gateway died."""

import asyncio
import json
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import control_pb2
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell, kill_gateway, write_config
from tests.durable.marks import Marks
from tests.durable.test_recovery import ended
from tests.service.programs import request, texts

ASK = {"name": "ask", "action": "ask", "tools": ["marks.mark"], "arguments": {"/name": {"pattern": "ask.*"}}}
PROGRAMS = {
    "javascript": """
        const before = await codemode.marks.mark({name: "before"});
        console.log("asking");
        try {
            const asked = await codemode.marks.mark({name: "ask"});
            console.log("done");
            return [before.count, asked.count];
        } catch (error) {
            return {code: error.code, message: error.message, details: error.details};
        }
    """,
    "python": """
before = await codemode.marks.mark(name="before")
print("asking")
try:
    asked = await codemode.marks.mark(name="ask")
    print("done")
    result = [before["count"], asked["count"]]
except ToolError as error:
    result = {"code": error.code, "message": error.message, "details": error.details}
result
    """,
}


def config_of(directory: Path, upstream: Marks, *rules: dict[str, Any]) -> Path:
    return write_config(directory, upstream, profile={"approvals": {"rules": list(rules) or [ASK]}})


async def paused(cell: Cell, client: Client, code: str, language: str = "javascript") -> pb.Execution:
    await upstreams_settled(cell.grpc_address, cell.token)
    execution = await client.execute(request(code, language, profile="durable"))
    assert execution.status == pb.STATUS_PAUSED, execution
    return execution


async def served_again(cell: Cell) -> None:
    """Until the gateway that was started in the place of a dead one answers, and has its upstreams."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await upstreams_settled(cell.grpc_address, cell.token)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("language", PROGRAMS)
async def test_paused_approved_and_gone_on_with(state: StateDirectory, tmp_path: Path, upstream: Marks, language: str):
    with durable_cell(state, config_of(tmp_path, upstream)) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await paused(cell, client, PROGRAMS[language], language)
            assert upstream.writes == ["before"]
            (pending,) = execution.pending_approvals
            assert (pending.call_number, pending.target) == (2, "marks.mark")
            approval = await client.approvals.get(pending.approval_id)
            assert approval.execution_id == execution.id
            assert approval.request.url == f"{upstream.url}/mark?name=ask"
            assert json.loads(approval.arguments_json) == {"name": "ask"}
            assert [(call.number, call.target) for call in approval.earlier_calls] == [(1, "marks.mark")]
            assert [line.number for line in approval.program if line.marked]
            await client.approvals.decide([approval], approve=True, approver="alice")
            done = await ended(cell.grpc_address, cell.token, execution.id)
            used = await client.approvals.get(approval.id)
    assert done.status == pb.STATUS_SUCCEEDED, done.error
    assert json.loads(done.result_json) == [1, 1]
    assert texts(done) == ["asking", "done"]
    assert upstream.writes == ["before", "ask"]
    assert used.state == control_pb2.APPROVAL_STATE_USED
    assert [call.approval_id for call in done.host_calls] == ["", approval.id]


@pytest.mark.parametrize("language", PROGRAMS)
async def test_denied_with_a_reason_the_program_can_act_on(
    state: StateDirectory, tmp_path: Path, upstream: Marks, language: str
):
    with durable_cell(state, config_of(tmp_path, upstream)) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await paused(cell, client, PROGRAMS[language], language)
            approval = await client.approvals.get(execution.pending_approvals[0].approval_id)
            await client.approvals.decide([approval], approve=False, approver="bob", reason="not this month")
            done = await ended(cell.grpc_address, cell.token, execution.id)
    assert done.status == pb.STATUS_SUCCEEDED, done.error
    result = json.loads(done.result_json)
    assert (result["code"], result["details"]["approver"]) == ("denied", "bob")
    assert "not this month" in result["message"]
    assert result["details"]["sent"] is False
    assert upstream.writes == ["before"]


async def test_a_gateway_that_died_has_forgotten_nothing(state: StateDirectory, tmp_path: Path, upstream: Marks):
    with durable_cell(state, config_of(tmp_path, upstream)) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await paused(cell, client, PROGRAMS["javascript"])
            kill_gateway(cell)
        await served_again(cell)
        async with Client(cell.grpc_address, cell.token) as client:
            found = await client.execution(execution.id)
            assert found.status == pb.STATUS_PAUSED
            (approval,) = (await client.approvals.page()).approvals
            assert approval.id == found.pending_approvals[0].approval_id
            await client.approvals.decide([approval], approve=True, approver="alice")
            done = await ended(cell.grpc_address, cell.token, execution.id)
    assert json.loads(done.result_json) == [1, 1]
    assert upstream.writes == ["before", "ask"]


async def test_of_two_deciders_one_wins_and_the_call_is_made_once(
    state: StateDirectory, tmp_path: Path, upstream: Marks
):
    with durable_cell(state, config_of(tmp_path, upstream)) as cell:
        async with Client(cell.grpc_address, cell.token) as one, Client(cell.grpc_address, cell.token) as other:
            execution = await paused(cell, one, PROGRAMS["javascript"])
            approval = await one.approvals.get(execution.pending_approvals[0].approval_id)
            results = await asyncio.gather(
                one.approvals.decide([approval], approve=True, approver="alice"),
                other.approvals.decide([approval], approve=True, approver="carol"),
                return_exceptions=True,
            )
            done = await ended(cell.grpc_address, cell.token, execution.id)
    (refused,) = [each for each in results if isinstance(each, BaseException)]
    assert isinstance(refused, grpc.aio.AioRpcError)
    assert refused.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert done.status == pb.STATUS_SUCCEEDED
    assert upstream.writes == ["before", "ask"]


async def test_nobody_decides_in_time(state: StateDirectory, tmp_path: Path, upstream: Marks):
    config = config_of(tmp_path, upstream, {**ASK, "expires_s": 1})
    with durable_cell(state, config) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            hurried = request(PROGRAMS["javascript"], profile="durable")
            await upstreams_settled(cell.grpc_address, cell.token)
            execution = await client.execute(hurried)
            done = await ended(cell.grpc_address, cell.token, execution.id)
    result = json.loads(done.result_json)
    assert (result["code"], result["details"]["state"]) == ("denied", "expired")
    assert upstream.writes == ["before"]


async def test_a_clock_that_runs_on_ends_the_wait(state: StateDirectory, tmp_path: Path, upstream: Marks):
    short = {"limits": {"wall_ms": 1_500}, "approvals": {"rules": [ASK], "wall_clock": "runs"}}
    with durable_cell(state, write_config(tmp_path, upstream, profile=short)) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await paused(cell, client, PROGRAMS["javascript"])
            done = await ended(cell.grpc_address, cell.token, execution.id)
    assert done.status == pb.STATUS_LIMIT_WALL, done
    assert upstream.writes == ["before"]


async def test_several_executions_wait_and_go_on(state: StateDirectory, tmp_path: Path, upstream: Marks):
    with durable_cell(state, config_of(tmp_path, upstream)) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            executions = [await paused(cell, client, PROGRAMS["javascript"]) for _ in range(5)]
            listed = (await client.approvals.page()).approvals
            assert {each.execution_id for each in listed} == {each.id for each in executions}
            for approval in listed:
                await client.approvals.decide([approval], approve=True, approver="alice")
            done = [await ended(cell.grpc_address, cell.token, each.id) for each in executions]
    assert {each.status for each in done} == {pb.STATUS_SUCCEEDED}
    assert sorted(upstream.writes) == ["ask"] * 5 + ["before"] * 5


SEVERAL = """
    const settled = await Promise.allSettled(["ask-1", "ask-2", "free"].map(name => codemode.marks.mark({name})));
    return settled.map(each => each.status === "fulfilled" ? each.value.name : each.reason.code);
"""


async def test_several_are_decided_in_one_as_listed(state: StateDirectory, tmp_path: Path, upstream: Marks):
    with durable_cell(state, config_of(tmp_path, upstream)) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await paused(cell, client, SEVERAL)
            assert upstream.writes == ["free"]
            asked = [await client.approvals.get(each.approval_id) for each in execution.pending_approvals]
            assert len(asked) == 2
            await client.approvals.decide(asked, approve=True, approver="alice")
            done = await ended(cell.grpc_address, cell.token, execution.id)
    assert json.loads(done.result_json) == ["ask-1", "ask-2", "free"]
    assert sorted(upstream.writes) == ["ask-1", "ask-2", "free"]


async def test_a_rule_that_denies_asks_nobody(state: StateDirectory, tmp_path: Path, upstream: Marks):
    config = config_of(tmp_path, upstream, {**ASK, "action": "deny", "reason": "never"})
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            done = await client.execute(request(PROGRAMS["javascript"], profile="durable"))
    result = json.loads(done.result_json)
    assert (result["code"], "never" in result["message"]) == ("denied", True)
    assert upstream.writes == ["before"]


async def test_a_stream_may_stay_and_hears_of_the_pause_and_of_the_end(
    state: StateDirectory, tmp_path: Path, upstream: Marks
):
    events: list[str] = []
    with durable_cell(state, config_of(tmp_path, upstream)) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            async for event in client.stream(request(PROGRAMS["javascript"], profile="durable")):
                kind = event.WhichOneof("event") or ""
                events.append(kind)
                if kind == "paused":
                    approval = await client.approvals.get(event.paused.approvals[0].approval_id)
                    await client.approvals.decide([approval], approve=True, approver="alice")
    assert [kind for kind in events if kind in {"paused", "resumed", "finished"}] == ["paused", "resumed", "finished"]


async def test_a_cancelled_execution_leaves_nothing_to_decide(state: StateDirectory, tmp_path: Path, upstream: Marks):
    with durable_cell(state, config_of(tmp_path, upstream)) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await paused(cell, client, PROGRAMS["javascript"])
            approval = await client.approvals.get(execution.pending_approvals[0].approval_id)
            await client.cancel(execution.id, "no longer wanted")
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await client.approvals.decide([approval], approve=True, approver="alice")
    assert "EXECUTION_OVER" in str(refused.value.trailing_metadata()) or "over" in (refused.value.details() or "")
    assert upstream.writes == ["before"]
