"""Approvals and MCP clients: asked by elicitation where the client can, told how to go on where it cannot."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types
import pytest
from mcp.client.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from runtime.client import Client
from runtime.portal.face import Said, Waiting
from runtime.portal.mcp_elicitation import question, said_of
from runtime.rpc import control_pb2
from runtime.service.cell import Cell
from tests.cell import open_shared_state, upstreams_settled
from tests.durable.conftest import durable_cell
from tests.durable.shop import Shop, shop, write_shop_config

CODE = "const r = await codemode.shop.place({body: {amount: 500}}); return r.amount;"
RULES: list[dict[str, Any]] = [{"name": "ask", "action": "ask", "tools": ["shop.place"]}]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cell, Shop]]:
    directory: Path = tmp_path_factory.mktemp("mcp")
    with shop() as kept:
        config = write_shop_config(directory, kept.port, RULES)
        with durable_cell(open_shared_state(directory / "state"), config) as cell:
            yield cell, kept


@asynccontextmanager
async def mcp_client(cell: Cell, answer: Any = None, mode: Any = "legacy") -> AsyncIterator[McpClient]:
    """A client of the official SDK; with `answer` it offers elicitation, and gives it."""
    await upstreams_settled(cell.grpc_address, cell.token)

    async def elicited(_: Any, params: Any) -> mcp_types.ElicitResult:
        asked.append(params)
        result: mcp_types.ElicitResult = answer
        return result

    asked: list[Any] = []
    headers = {"authorization": f"Bearer {cell.token}"}
    async with httpx2.AsyncClient(headers=headers, trust_env=False, timeout=60) as http:
        transport = streamable_http_client(f"http://{cell.mcp_address}/mcp", http_client=http)
        offered = {} if answer is None else {"elicitation_callback": elicited}
        async with McpClient(transport, mode=mode, **offered) as client:
            client.asked = asked  # type: ignore[attr-defined]
            yield client


async def execute(client: McpClient, **arguments: Any) -> mcp_types.CallToolResult:
    result = await client.call_tool("execute", {"profile": "shop", **arguments} if "code" in arguments else arguments)
    assert isinstance(result, mcp_types.CallToolResult)
    return result


def text(result: mcp_types.CallToolResult) -> str:
    (first, *_) = result.content
    assert isinstance(first, mcp_types.TextContent)
    return first.text


async def test_the_person_at_the_client_is_asked_and_approves(place: tuple[Cell, Shop]) -> None:
    cell, kept = place
    kept.asked.clear()
    yes = mcp_types.ElicitResult(action="accept", content={"approve": True, "reason": "fine"})
    async with mcp_client(cell, yes) as client:
        result = await execute(client, code=CODE)
        (params,) = client.asked  # type: ignore[attr-defined]
    assert (result.is_error, text(result)) == (False, "500")
    assert "shop.place" in params.message
    assert set(params.requested_schema["properties"]) == {"approve", "reason"}
    assert len(kept.writes) == 1
    async with Client(cell.grpc_address, cell.token) as control:
        page = await control.approvals.page(state=control_pb2.APPROVAL_STATE_USED)
    (decision,) = page.approvals[-1].decisions
    assert decision.approver.startswith("the user of mcp:")


@pytest.mark.parametrize(
    "answer",
    [
        mcp_types.ElicitResult(action="decline"),
        mcp_types.ElicitResult(action="accept", content={"approve": False, "reason": "too much"}),
    ],
    ids=["declined", "no"],
)
async def test_the_person_at_the_client_says_no(place: tuple[Cell, Shop], answer: mcp_types.ElicitResult) -> None:
    cell, kept = place
    kept.asked.clear()
    async with mcp_client(cell, answer) as client:
        result = await execute(client, code=CODE)
    assert (result.is_error, kept.writes) == (True, [])
    assert ("too much" if answer.content else "declined") in text(result)


async def test_a_client_that_cannot_ask_is_told_how_to_go_on_and_another_session_may(place: tuple[Cell, Shop]) -> None:
    cell, kept = place
    kept.asked.clear()
    async with mcp_client(cell) as client:
        result = await execute(client, code=CODE)
        told = result.structured_content or {}
        assert (result.is_error, told["status"]) == (False, "paused")
        (waiting,) = told["waiting"]
        assert waiting["target"] == "shop.place"
        assert f'{{"resume": "{told["execution_id"]}"}}' in text(result)
        again = await execute(client, resume=told["execution_id"])
        assert (again.structured_content or {})["status"] == "paused"
    async with Client(cell.grpc_address, cell.token) as control:
        approval = await control.approvals.get(waiting["approval_id"])
        await control.approvals.decide([approval], approve=True, approver="alice")
    async with mcp_client(cell) as other:
        done = await execute(other, resume=told["execution_id"])
    assert text(done) == "500"
    assert len(kept.writes) == 1


async def test_closing_the_form_decides_nothing(place: tuple[Cell, Shop]) -> None:
    cell, _ = place
    async with mcp_client(cell, mcp_types.ElicitResult(action="cancel")) as client:
        result = await execute(client, code=CODE)
    told = result.structured_content or {}
    assert told["status"] == "paused"
    async with Client(cell.grpc_address, cell.token) as control:
        approval = await control.approvals.get(told["waiting"][0]["approval_id"])
        assert approval.state == control_pb2.APPROVAL_STATE_OPEN
        await control.cancel(told["execution_id"])


async def test_since_2026_07_28_the_question_is_an_answer_and_the_request_comes_again(place: tuple[Cell, Shop]) -> None:
    cell, kept = place
    kept.asked.clear()
    yes = mcp_types.ElicitResult(action="accept", content={"approve": True})
    async with mcp_client(cell, yes, mode="2026-07-28") as client:
        result = await execute(client, code=CODE)
        assert len(client.asked) == 1  # type: ignore[attr-defined]
    assert text(result) == "500"
    assert len(kept.writes) == 1


async def test_since_2026_07_28_too_closing_the_form_decides_nothing(place: tuple[Cell, Shop]) -> None:
    cell, _ = place
    async with mcp_client(cell, mcp_types.ElicitResult(action="cancel"), mode="2026-07-28") as client:
        result = await execute(client, code=CODE)
        assert len(client.asked) == 1  # type: ignore[attr-defined]
    told = result.structured_content or {}
    assert told["status"] == "paused"
    async with Client(cell.grpc_address, cell.token) as control:
        await control.cancel(told["execution_id"])


async def test_what_cannot_be_resumed(place: tuple[Cell, Shop]) -> None:
    async with mcp_client(place[0]) as client:
        unknown = await execute(client, resume="exe_0")
        both = await execute(client, code="return 1", resume="exe_0")
        neither = await client.call_tool("execute", {})
    assert unknown.is_error
    assert "exe_0" in text(unknown)
    assert "not both" in text(both)
    assert isinstance(neither, mcp_types.CallToolResult)
    assert "code: is required" in text(neither)


@pytest.mark.parametrize(
    ("action", "content", "said"),
    [
        ("accept", {"approve": True, "reason": "x"}, Said(approved=True, reason="x")),
        ("accept", {"approve": "true"}, Said(approved=False, reason="the person at the client declined")),
        ("accept", {"approve": 1}, Said(approved=False, reason="the person at the client declined")),
        ("accept", None, Said(approved=False, reason="the person at the client declined")),
        ("decline", {"approve": True}, Said(approved=False, reason="the person at the client declined")),
        ("cancel", {"approve": True}, None),
    ],
)
def test_only_a_form_that_says_so_approves(action: Any, content: Any, said: Said | None) -> None:
    assert said_of(mcp_types.ElicitResult(action=action, content=content)) == said


def test_the_question_says_what_until_when_and_by_which_name() -> None:
    asked = question(Waiting(approval_id="apr_1", target="a.b", words="does it", expires_at="2026-01-01T00:00:00Z"))
    assert all(word in asked for word in ("apr_1", "a.b", "does it", "2026-01-01"))
