"""The Control service over a real channel, and the command line's words for what it shows."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtime.client import Client
from runtime.command.approvals import shown
from runtime.rpc import control_pb2
from runtime.service.auth import Authenticator
from runtime.service.control_servicer import ControlServicer
from runtime.service.handlers import generic_handler
from runtime.store.changes import PutExecution
from tests.governance.parts import DIGEST, NOW, Desk, desk, execution_row, request, row

TOKEN = "a-token-for-tests"


@dataclass
class Served:
    desk: Desk
    client: Client
    address: str


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[Served]:
    server = grpc.aio.server()
    port = server.add_insecure_port("127.0.0.1:0")
    async with desk(path) as opened:
        service = control_pb2.DESCRIPTOR.services_by_name["Control"]
        handler = generic_handler(service, ControlServicer(opened.approvals), Authenticator(TOKEN))
        server.add_generic_rpc_handlers((handler,))
        await server.start()
        try:
            async with Client(f"127.0.0.1:{port}", TOKEN) as client:
                yield Served(opened, client, f"127.0.0.1:{port}")
        finally:
            await server.stop(0)


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Served]:
    async with served(tmp_path) as made:
        yield made


async def refused(awaitable: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await awaitable
    return error.value.code(), error.value.details() or ""


async def test_shown_approved_and_told_who(control: Served) -> None:
    await control.desk.approvals.open(row(shown=request(arguments={"amount": 500, "note": "é"})))
    (listed,) = (await control.client.approvals.page()).approvals
    assert listed == await control.client.approvals.get("apr_1")
    assert (listed.state, listed.digest, listed.tool) == (control_pb2.APPROVAL_STATE_OPEN, DIGEST, "ledger.transfer")
    assert (listed.context.actor, listed.context.owner, listed.context.reason) == ("agent", "team", "the monthly run")
    assert listed.arguments_json == '{"amount": 500, "note": "é"}'
    assert listed.expires_at.ToNanoseconds() == NOW + 60 * 10**9
    decided = control.client.approvals.decide(
        [listed], approve=True, approver="alice", reason="fine", edits={"/amount": 100}
    )
    (approved,) = await decided
    assert approved.state == control_pb2.APPROVAL_STATE_APPROVED
    assert [(each.approver, each.approved, each.reason) for each in approved.decisions] == [("alice", True, "fine")]
    assert approved.edits_json == '[{"path": "/amount", "value": 100}]'
    assert (await control.client.approvals.page()).approvals == []
    assert len((await control.client.approvals.page(everything=True)).approvals) == 1
    used = await control.client.approvals.page(state=control_pb2.APPROVAL_STATE_USED)
    assert used.approvals == []


async def test_refusals_have_codes_and_words(control: Served) -> None:
    approvals = control.client.approvals
    await control.desk.approvals.open(row())
    listed = await approvals.get("apr_1")
    other = control_pb2.Approval(id="apr_1", digest="sha256:0")
    unknown = control_pb2.Approval(id="apr_0", digest=DIGEST)
    cases = [
        (approvals.get("apr_9"), grpc.StatusCode.NOT_FOUND, "apr_9"),
        (approvals.decide([unknown], approve=True, approver="alice"), grpc.StatusCode.NOT_FOUND, "apr_0"),
        (approvals.decide([other], approve=True, approver="alice"), grpc.StatusCode.FAILED_PRECONDITION, DIGEST),
        (
            approvals.decide([listed], approve=True, approver="agent"),
            grpc.StatusCode.PERMISSION_DENIED,
            "somebody else",
        ),
        (approvals.decide([listed], approve=True, approver=" "), grpc.StatusCode.INVALID_ARGUMENT, "approver"),
        (approvals.decide([listed], approve=True, approver="a\x1b"), grpc.StatusCode.INVALID_ARGUMENT, "printable"),
        (approvals.decide([listed], approve=False, approver="bob"), grpc.StatusCode.INVALID_ARGUMENT, "reason"),
        (approvals.decide([], approve=True, approver="bob"), grpc.StatusCode.INVALID_ARGUMENT, "items"),
        (
            approvals.decide([listed], approve=True, approver="bob", edits={"/amount": 1_000}),
            grpc.StatusCode.INVALID_ARGUMENT,
            "not between",
        ),
        (
            approvals.decide([listed], approve=False, approver="bob", reason="x", edits={"/amount": 1}),
            grpc.StatusCode.INVALID_ARGUMENT,
            "approval only",
        ),
    ]
    for call, code, words in cases:
        told = await refused(call)
        assert told[0] is code, told
        assert words in told[1]
    await approvals.decide([listed], approve=False, approver="bob", reason="no")
    code, words = await refused(approvals.decide([listed], approve=True, approver="alice"))
    assert (code, "bob" in words) == (grpc.StatusCode.FAILED_PRECONDITION, True)


async def test_without_the_token_nothing_is_told(control: Served) -> None:
    await control.desk.approvals.open(row())
    async with Client(control.address, "wrong") as stranger:
        listed = control_pb2.Approval(id="apr_1", digest=DIGEST)
        for call in (
            stranger.approvals.page(),
            stranger.approvals.get("apr_1"),
            stranger.approvals.decide([listed], approve=True, approver="x"),
        ):
            assert (await refused(call))[0] is grpc.StatusCode.UNAUTHENTICATED
        watching = stranger.approvals.watch()
        assert (await refused(anext(watching)))[0] is grpc.StatusCode.UNAUTHENTICATED


async def test_another_principals_approval_is_as_good_as_none(control: Served) -> None:
    await control.desk.store.write(PutExecution(execution_row("exe_2", "other/team")))
    await control.desk.approvals.open(row(2, execution_id="exe_2", tenant="other/team"))
    assert (await refused(control.client.approvals.get("apr_2")))[0] is grpc.StatusCode.NOT_FOUND


async def test_a_stream_tells_what_is_open_and_what_happens(control: Served) -> None:
    await control.desk.approvals.open(row())
    watching = control.client.approvals.watch()
    async with asyncio.timeout(30):
        first = await anext(watching)
        await control.client.approvals.decide([first], approve=True, approver="alice")
        second = await anext(watching)
    assert (first.state, second.state) == (control_pb2.APPROVAL_STATE_OPEN, control_pb2.APPROVAL_STATE_APPROVED)


async def test_what_is_shown_cannot_rewrite_a_terminal(control: Served) -> None:
    nasty = "\x1b[2Jfine\u202egnp\u200b"
    shown_request = request(
        words=nasty, reason=nasty, actor=nasty, arguments={"note": nasty}, rule_reason=nasty, target=nasty
    )
    await control.desk.approvals.open(row(shown=shown_request))
    text = "\n".join(shown(await control.client.approvals.get("apr_1")))
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\u001b[2Jfine\\u202egnp\\u200b" in text


async def test_pages_follow_each_other(control: Served) -> None:
    for number in range(1, 56):
        await control.desk.approvals.open(row(number, id=f"apr_{number:03}"))
    first = await control.client.approvals.page()
    second = await control.client.approvals.page(page_token=first.next_page_token)
    assert (len(first.approvals), len(second.approvals), second.next_page_token) == (50, 5, "")
    assert [each.call_number for each in (*first.approvals, *second.approvals)] == list(range(1, 56))
