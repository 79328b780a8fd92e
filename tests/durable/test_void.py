"""A decision over what is no longer so does not count: void, and asked again."""

from pathlib import Path
from typing import Any

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import control_pb2
from runtime.rpc import runtime_pb2 as pb
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell
from tests.durable.shop import shop, write_shop_config
from tests.durable.test_recovery import ended
from tests.service.programs import request

RULE: dict[str, Any] = {"name": "ask", "action": "ask", "tools": ["shop.place"]}
CHANGES: dict[str, dict[str, Any]] = {
    "the tool's declaration": {"note": "Now it also ships."},
    "the policy": {"version": 2},
    "what the rule asks": {"rules": [{**RULE, "approvers": 2}], "version": 2},
}


@pytest.mark.parametrize("change", CHANGES)
async def test_changed_after_it_was_shown(state: StateDirectory, tmp_path: Path, change: str) -> None:
    with shop() as kept:
        config = write_shop_config(tmp_path, kept.port, [RULE])
        with durable_cell(state, config) as cell:
            await upstreams_settled(cell.grpc_address, cell.token)
            async with Client(cell.grpc_address, cell.token) as client:
                placing = request("return await codemode.shop.place({body: {amount: 5}});", profile="shop")
                execution = await client.execute(placing)
                first = await client.approvals.get(execution.pending_approvals[0].approval_id)
        changed = {"rules": [RULE], **CHANGES[change]}
        config = write_shop_config(tmp_path, kept.port, **changed)
        with durable_cell(state, config) as cell:
            await upstreams_settled(cell.grpc_address, cell.token)
            async with Client(cell.grpc_address, cell.token) as client:
                await client.approvals.decide([first], approve=True, approver="alice")
                second = await asked_again(client, first)
                assert kept.writes == []
                assert (await client.approvals.get(first.id)).state == control_pb2.APPROVAL_STATE_VOID
                assert second.digest != first.digest
                assert first.id in second.words
                with pytest.raises(grpc.aio.AioRpcError):
                    await client.approvals.decide([first], approve=True, approver="alice")
                for approver in ("alice", "bob")[: second.approvers_needed]:
                    await client.approvals.decide([second], approve=True, approver=approver)
                done = await ended(cell.grpc_address, cell.token, execution.id)
    assert done.status == pb.STATUS_SUCCEEDED, done.error
    assert len(kept.writes) == 1


async def test_the_address_changed_after_it_was_shown(state: StateDirectory, tmp_path: Path) -> None:
    with shop() as kept, shop() as other:
        with durable_cell(state, write_shop_config(tmp_path, kept.port, [RULE])) as cell:
            await upstreams_settled(cell.grpc_address, cell.token)
            async with Client(cell.grpc_address, cell.token) as client:
                placing = request("return await codemode.shop.place({body: {amount: 5}});", profile="shop")
                execution = await client.execute(placing)
                first = await client.approvals.get(execution.pending_approvals[0].approval_id)
        with durable_cell(state, write_shop_config(tmp_path, other.port, [RULE])) as cell:
            await upstreams_settled(cell.grpc_address, cell.token)
            async with Client(cell.grpc_address, cell.token) as client:
                await client.approvals.decide([first], approve=True, approver="alice")
                second = await asked_again(client, first)
                await client.approvals.decide([second], approve=False, approver="alice", reason="not there")
                done = await ended(cell.grpc_address, cell.token, execution.id)
    assert (done.error.call.code, kept.writes, other.writes) == ("denied", [], [])


async def asked_again(client: Client, first: control_pb2.Approval) -> control_pb2.Approval:
    """The next question about the same call."""
    async for approval in client.approvals.watch():
        if approval.id != first.id and approval.call_number == first.call_number:
            return approval
    raise AssertionError("the stream ended")
