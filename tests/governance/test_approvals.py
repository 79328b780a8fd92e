"""Questions over a real store: first wins, single use, expiry, batches, watching."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runtime.governance.approvals import Approvals, NoSuchApprovalError
from runtime.governance.verdict import DecisionRefusedError
from runtime.store.changes import PutExecution, UpdateExecution, UseApproval
from runtime.store.errors import StoreConflictError
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from tests.governance.parts import NOW, Clock, Desk, desk, execution_row, request, row, said


@pytest.fixture
async def opened(tmp_path: Path) -> Any:
    async with desk(tmp_path) as made:
        yield made


async def refusal(opened: Desk, *words: Any) -> str:
    with pytest.raises(DecisionRefusedError) as refused:
        await opened.approvals.decide("local", words)
    return refused.value.code


async def test_asked_listed_approved_and_told(opened: Desk) -> None:
    await opened.approvals.open(row())
    (listed,) = await opened.approvals.page("local")
    assert (listed.row.id, listed.request.tool) == ("apr_1", "ledger.transfer")
    (decided,) = await opened.approvals.decide("local", [("apr_1", said(reason="fine"))])
    assert (decided.row.state, decided.decisions[0].approver) == ("approved", "alice")
    assert opened.decided == [("exe_1", 1)]
    assert await opened.approvals.page("local") == []
    assert [each.row.id for each in await opened.approvals.page("local", state=None)] == ["apr_1"]


async def test_an_approval_serves_once(opened: Desk) -> None:
    await opened.approvals.open(row())
    with pytest.raises(StoreConflictError):
        await opened.store.write(UseApproval("apr_1"))
    await opened.approvals.decide("local", [("apr_1", said())])
    await opened.store.write(UseApproval("apr_1"))
    with pytest.raises(StoreConflictError):
        await opened.store.write(UseApproval("apr_1"))
    assert await refusal(opened, ("apr_1", said("bob"))) == "ALREADY_DECIDED"


async def test_of_two_deciders_at_once_one_wins_and_the_other_is_told(opened: Desk) -> None:
    await opened.approvals.open(row())
    words = [opened.approvals.decide("local", [("apr_1", said(name, word))]) for name, word in
             [("alice", "approve"), ("bob", "deny"), ("carol", "approve"), ("dan", "deny")]]  # fmt: skip
    results = await asyncio.gather(*words, return_exceptions=True)
    refused = [each for each in results if isinstance(each, DecisionRefusedError)]
    assert (len(refused), {each.code for each in refused}) == (3, {"ALREADY_DECIDED"})
    found = await opened.approvals.find("local", "apr_1")
    assert len(found.decisions) == 1
    assert all(found.decisions[0].approver in str(each) for each in refused)
    assert opened.decided == [("exe_1", 1)]


async def test_two_approvers_at_once_both_count_where_two_are_needed(opened: Desk) -> None:
    await opened.approvals.open(row(needed=2))
    await asyncio.gather(*(opened.approvals.decide("local", [("apr_1", said(name))]) for name in ("alice", "bob")))
    found = await opened.approvals.find("local", "apr_1")
    assert (found.row.state, {each.approver for each in found.decisions}) == ("approved", {"alice", "bob"})
    assert opened.decided == [("exe_1", 1)]


async def test_time_denies_and_never_approves(opened: Desk) -> None:
    await opened.approvals.open(row(needed=2))
    await opened.approvals.decide("local", [("apr_1", said())])
    assert await opened.approvals.expire_due() == 0
    opened.clock.now_ns = NOW + 61 * 10**9
    assert await refusal(opened, ("apr_1", said("bob"))) == "APPROVAL_EXPIRED"
    assert await opened.approvals.expire_due() == 1
    assert (await opened.approvals.find("local", "apr_1")).row.state == "expired"
    assert opened.decided == [("exe_1", 1)]
    assert await refusal(opened, ("apr_1", said("bob"))) == "APPROVAL_EXPIRED"


async def test_one_decision_over_several_is_for_all_of_them_or_none(opened: Desk) -> None:
    for number in (1, 2, 3):
        await opened.approvals.open(row(number))
    wrong = ("apr_3", said(digest="sha256:other"))
    assert await refusal(opened, ("apr_1", said()), ("apr_2", said()), wrong) == "ANOTHER_DIGEST"
    assert len(await opened.approvals.page("local")) == 3
    await opened.approvals.decide("local", [("apr_1", said()), ("apr_2", said())])
    assert [each.row.id for each in await opened.approvals.page("local")] == ["apr_3"]
    assert opened.decided == [("exe_1", 1), ("exe_1", 2)]
    assert await refusal(opened, ("apr_2", said("bob")), ("apr_3", said("bob"))) == "ALREADY_DECIDED"
    assert (await opened.approvals.find("local", "apr_3")).decisions == ()


async def test_one_decision_over_several_wants_them_alike(opened: Desk) -> None:
    await opened.store.write(PutExecution(execution_row("exe_2")))
    await opened.approvals.open(row(1))
    await opened.approvals.open(row(2, shown=request(tool="ledger.close")))
    await opened.approvals.open(row(3, execution_id="exe_2"))
    assert await refusal(opened, ("apr_1", said()), ("apr_2", said())) == "NOT_ALIKE"
    assert await refusal(opened, ("apr_1", said()), ("apr_3", said())) == "NOT_ALIKE"
    assert await refusal(opened, ("apr_1", said()), ("apr_1", said())) == "NOT_ALIKE"


async def test_what_belongs_to_another_principal_is_not_there(opened: Desk) -> None:
    await opened.store.write(PutExecution(execution_row("exe_2", "other/team")))
    await opened.approvals.open(row(2, execution_id="exe_2", tenant="other/team"))
    assert await opened.approvals.page("local") == []
    for principal in ("local", "other/team", "othe", ""):
        with pytest.raises(NoSuchApprovalError):
            await opened.approvals.find(principal, "apr_2")
    with pytest.raises(NoSuchApprovalError):
        await opened.approvals.decide("local", [("apr_2", said())])
    with pytest.raises(NoSuchApprovalError):
        await opened.approvals.decide("local", [("apr_99", said())])


async def test_nothing_is_decided_for_an_execution_that_is_over(opened: Desk) -> None:
    await opened.approvals.open(row())
    await opened.store.write(UpdateExecution(id="exe_1", expect=1, updated_ns=NOW, state="ended", ended_ns=NOW))
    assert await refusal(opened, ("apr_1", said())) == "EXECUTION_OVER"
    assert (await opened.approvals.find("local", "apr_1")).row.state == "void"
    assert opened.decided == []


async def test_who_watches_sees_what_is_open_and_what_happens(opened: Desk) -> None:
    await opened.approvals.open(row(1))
    watching = opened.approvals.watch("local")
    seen = [await anext(watching)]
    await opened.approvals.open(row(2))
    seen.append(await anext(watching))
    await opened.approvals.decide("local", [("apr_1", said(word="deny", reason="no"))])
    seen.append(await anext(watching))
    assert [(each.row.id, each.row.state) for each in seen] == [
        ("apr_1", "open"),
        ("apr_2", "open"),
        ("apr_1", "denied"),
    ]
    await watching.aclose()
    assert not opened.approvals._watchers


async def test_more_open_than_a_page_holds_are_all_listed_and_expired(opened: Desk) -> None:
    for number in range(1, 206):
        await opened.approvals.open(row(number, id=f"apr_{number:04}"))
    first = await opened.approvals.page("local", limit=150)
    rest = await opened.approvals.page("local", after=first[-1].row.id, limit=150)
    assert [each.row.call_number for each in (*first, *rest)] == list(range(1, 206))
    found = await opened.approvals.of_call("exe_1", 3)
    assert found is not None
    assert found.id == "apr_0003"
    opened.clock.now_ns = NOW + 61 * 10**9
    assert await opened.approvals.expire_due() == 205


async def test_the_newest_question_about_a_call_counts(opened: Desk) -> None:
    await opened.approvals.open(row(1, id="apr_1a"))
    await opened.approvals.open(row(1, id="apr_1b"))
    found = await opened.approvals.of_call("exe_1", 1)
    assert found is not None
    assert found.id == "apr_1b"
    assert await opened.approvals.of_call("exe_1", 7) is None


async def test_a_restart_forgets_nothing(tmp_path: Path) -> None:
    async with desk(tmp_path) as before:
        await before.approvals.open(row(needed=2))
        await before.approvals.decide("local", [("apr_1", said())])
    store = SqlStore(SqliteDatabase(tmp_path / "store.sqlite"))
    await store.open()
    try:
        after = Approvals(store, lambda *_: None, now_ns=Clock())
        (decided,) = await after.decide("local", [("apr_1", said("bob"))])
    finally:
        await store.close()
    assert decided.row.state == "approved"
