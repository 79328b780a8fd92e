"""What is read back: lists, pages and filters, and every kind of row, on every store."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.store.changes import (
    Change,
    DecideApproval,
    DeleteResult,
    DeleteSession,
    DeleteValue,
    PutApproval,
    PutCall,
    PutDecision,
    PutDelivery,
    PutExecution,
    PutFile,
    PutLogs,
    PutProfile,
    PutResult,
    PutSession,
    PutTrace,
    PutValue,
    RetryCall,
    SuspendCall,
    UpdateDelivery,
    UpdateExecution,
    UpdateSession,
)
from runtime.store.errors import StoreConflictError
from runtime.store.plain_text import original, plain
from runtime.store.records import (
    DecisionRow,
    DeliveryRow,
    FileRow,
    LogRow,
    ProfileRow,
    ResultRow,
    SessionRow,
    ValueRow,
)
from runtime.store.sql_store import SqlStore
from tests.store.examples import answer, approval, begun, call, ended, execution, trace


async def test_lists_are_pages_in_order(store: SqlStore) -> None:
    rows = [execution(state="paused" if number % 2 else "running") for number in range(7)]
    for row in rows:
        await store.write(PutExecution(row))
    await store.write(ended(rows[0], 5))
    first = await store.unfinished(limit=4)
    rest = await store.unfinished(after=first[-1].id, limit=4)
    assert [head.id for head in first + rest] == [row.id for row in rows[1:]]
    newest = await store.executions(principal="agent", limit=3)
    older = await store.executions(principal="agent", before=newest[-1].id)
    assert [head.id for head in newest + older] == [row.id for row in reversed(rows)]
    assert [head.id for head in await store.executions(state="ended")] == [rows[0].id]
    assert await store.executions(principal="agent", state="paused", before=rows[1].id) == []


async def test_those_that_wake_are_paused_and_say_when(store: SqlStore) -> None:
    due = [execution(state="paused", outcome=f'{{"due_ns":{number}}}') for number in range(3)]
    others = execution(state="paused"), execution(), execution(state="paused", outcome='{"due_ns":9}')
    for row in (*others, *due):
        await store.write(PutExecution(row))
    await store.write(ended(others[2], 5))
    first = await store.waking(limit=2)
    assert [(row.id, row.outcome) for row in first] == [(row.id, row.outcome) for row in due[:2]]
    assert [row.id for row in await store.waking(after=first[-1].id)] == [due[2].id]
    await store.write(UpdateExecution(id=due[0].id, expect=1, updated_ns=6, state="paused", outcome=""))
    assert [row.id for row in await store.waking()] == [due[1].id, due[2].id]


async def test_lists_are_of_whom_was_asked_for(store: SqlStore) -> None:
    mine = execution(tenant="acme", session="s1")
    theirs = execution(tenant="other", session="s1", principal="somebody")
    await store.write(PutExecution(mine), PutExecution(theirs))
    assert [head.id for head in await store.executions(tenant="acme", session="s1")] == [mine.id]
    assert [head.id for head in await store.executions(tenant="other", session="s1")] == [theirs.id]
    assert [head.id for head in await store.executions(principal="somebody")] == [theirs.id]
    assert await store.executions(tenant="nobody") == []


async def test_a_key_is_one_principal_s_and_stands_for_one_execution(store: SqlStore) -> None:
    mine, theirs = execution(idempotency_key="k"), execution(idempotency_key="k", principal="somebody")
    await store.write(PutExecution(mine), PutExecution(theirs))
    with pytest.raises(StoreConflictError, match="idempotency key"):
        await store.write(PutExecution(execution(idempotency_key="k")))
    assert await store.execution_by_key("agent", "k") == mine
    assert await store.execution_by_key("somebody", "k") == theirs
    await store.write(PutExecution(execution()), PutExecution(execution()))
    assert await store.execution_by_key("agent", "") is None


async def test_every_part_of_an_execution_comes_back_in_order(store: SqlStore) -> None:
    row = execution()
    parts: list[Change] = []
    for number in (2, 1, 3):
        parts += [
            PutCall(call(row, number)),
            PutTrace(trace(row, number, bytes([number]))),
            PutLogs(LogRow(execution_id=row.id, first=number * 10, data=f'["{number}"]')),
            PutFile(FileRow(execution_id=row.id, number=number, name="a", type="b", sha256="c", data=b"\0" * number)),
        ]
    await store.write(PutExecution(row), *parts)
    assert [made.number for made in await store.calls(row.id)] == [1, 2, 3]
    assert [part.data for part in await store.trace(row.id)] == [b"\1", b"\2", b"\3"]
    assert [line.first for line in await store.logs(row.id)] == [10, 20, 30]
    assert [file.data for file in await store.files(row.id)] == [b"\0", b"\0\0", b"\0\0\0"]
    assert await store.image_digests_in_use() == {row.image_digest}


async def test_parts_of_an_execution_that_is_not_there_are_refused(store: SqlStore) -> None:
    with pytest.raises(StoreConflictError, match="does not have the execution"):
        await store.write(PutCall(call(execution())))


async def test_a_call_is_suspended_made_again_and_answered(store: SqlStore) -> None:
    row = execution()
    made = call(row)
    await store.write(*begun(row, made))
    await store.write(SuspendCall(execution_id=row.id, number=1))
    assert [kept.state for kept in await store.calls(row.id)] == ["suspended"]
    await store.write(RetryCall(execution_id=row.id, number=1, attempt=2, started_ns=20))
    await store.write(RetryCall(execution_id=row.id, number=1, attempt=3, started_ns=30, record='{"edit":{}}'))
    (kept,) = await store.calls(row.id)
    assert kept == replace(made, attempt=3, started_ns=30, record='{"edit":{}}')
    await store.write(answer(made))
    for change in (
        SuspendCall(execution_id=row.id, number=1),
        RetryCall(execution_id=row.id, number=1, attempt=4, started_ns=40),
    ):
        with pytest.raises(StoreConflictError, match="has its answer"):
            await store.write(change)


async def test_only_what_an_update_names_changes(store: SqlStore) -> None:
    row = execution(status="OLD", expires_ns=9)
    await store.write(PutExecution(row))
    await store.write(UpdateExecution(id=row.id, expect=1, updated_ns=50, state="paused"))
    assert await store.execution(row.id) == replace(row, updated_ns=50, state="paused")
    await store.write(UpdateExecution(id=row.id, expect=1, updated_ns=60))
    assert await store.execution(row.id) == replace(row, updated_ns=60, state="paused")


async def test_approvals_are_listed_by_state_tenant_execution_and_expiry(store: SqlStore) -> None:
    row, other = execution(), execution(tenant="other")
    first, second = approval(row), approval(row, call_number=2, expires_ns=50)
    third = approval(other)
    await store.write(*begun(row), *begun(other), *map(PutApproval, (first, second, third)))
    await store.write(DecideApproval(id=second.id, state="denied", decided_ns=5, reason="no"))
    assert await store.approvals(state="open") == [first, third]
    assert await store.approvals(tenant="acme") == [
        first,
        replace(second, state="denied", decided_ns=5, reason="no"),
    ]
    assert await store.approvals(execution_id=other.id) == [third]
    assert await store.approvals(after=second.id) == [third]
    assert [found.id for found in await store.approvals(expires_before_ns=51)] == [second.id]
    assert len(await store.approvals(limit=2)) == 2


async def test_an_approver_decides_once(store: SqlStore) -> None:
    row = execution()
    asked = approval(row, needed=2)
    said = DecisionRow(approval_id=asked.id, number=1, approver="b", verdict="approve", decided_ns=1, digest="d")
    await store.write(*begun(row), PutApproval(asked), PutDecision(said))
    for again in (replace(said, number=2), replace(said, approver="c")):
        with pytest.raises(StoreConflictError):
            await store.write(PutDecision(again))
    await store.write(PutDecision(replace(said, number=2, approver="c")))
    assert [kept.approver for kept in await store.decisions(asked.id)] == ["b", "c"]


async def test_a_delivery_is_tried_by_one_sender(store: SqlStore) -> None:
    waiting = DeliveryRow(id="d1", approval_id="a", event="asked", next_ns=10)
    later = replace(waiting, id="d2", next_ns=5)
    await store.write(PutDelivery(waiting), PutDelivery(later))
    assert await store.deliveries(4) == []
    assert await store.deliveries(10) == [later, waiting]
    tried = UpdateDelivery(id="d1", attempts=1, next_ns=30, state="waiting", problem="503")
    await store.write(tried)
    with pytest.raises(StoreConflictError, match="does not wait for try 1"):
        await store.write(tried)
    await store.write(UpdateDelivery(id="d1", attempts=2, next_ns=0, state="delivered"))
    with pytest.raises(StoreConflictError):
        await store.write(UpdateDelivery(id="d1", attempts=3, next_ns=0, state="waiting"))
    assert await store.deliveries(100) == [later]


async def test_a_session_s_name_is_free_once_it_is_closed(store: SqlStore) -> None:
    row = SessionRow(id="s1", tenant="acme", name="notebook", created_ns=1, used_ns=1)
    await store.write(PutSession(row), PutSession(replace(row, id="s0", tenant="other")))
    with pytest.raises(StoreConflictError):
        await store.write(PutSession(replace(row, id="s2")))
    await store.write(UpdateSession(id="s1", used_ns=5))
    assert await store.session("acme", "notebook") == replace(row, used_ns=5)
    await store.write(UpdateSession(id="s1", used_ns=6, state="closed"))
    with pytest.raises(StoreConflictError, match="is not open"):
        await store.write(UpdateSession(id="s1", used_ns=7))
    assert await store.session("acme", "notebook") is None
    await store.write(PutSession(replace(row, id="s2")))
    assert [found.id for found in await store.sessions("acme")] == ["s1", "s2"]
    assert await store.session_by_id("s1") == replace(row, used_ns=6, state="closed")
    await store.write(DeleteSession("s1"), DeleteSession("s1"))
    assert await store.session_by_id("s1") is None
    assert [found.id for found in await store.sessions(after="s0")] == ["s2"]


async def test_what_is_kept_is_listed_the_newest_first_and_deleted(store: SqlStore) -> None:
    before = (await store.usage("acme")).bytes
    for n in (2, 1, 3):
        await store.write(
            PutResult(ResultRow(handle=f"r{n}", tenant="acme", json="é" * n, expires_ns=n)),
            PutValue(ValueRow(tenant="acme", session=f"s{n}", key="k", value="1", updated_ns=n)),
        )
    await store.write(PutValue(ValueRow(tenant="acme", session="s1", key="l", value="1", updated_ns=9)))
    assert await store.result_handles(2) == ["r3", "r2"]
    assert await store.value_sessions(2) == [("acme", "s1"), ("acme", "s3")]
    await store.write(DeleteResult(tenant="other", handle="r3"))
    assert await store.result("r3") is not None
    gone = [DeleteResult(tenant="acme", handle=f"r{n}") for n in (1, 2, 3, 3)]
    values = [DeleteValue(tenant="acme", session=f"s{n}", key=key) for n in (1, 2, 3) for key in "kl"]
    await store.write(*gone, *values)
    assert await store.result_handles(9) == []
    assert await store.value_sessions(9) == []
    assert (await store.usage("acme")).bytes == before


async def test_results_profiles_and_values(store: SqlStore) -> None:
    kept = ResultRow(handle="r1", tenant="acme", json="[1]", expires_ns=5)
    profile = ProfileRow(digest="p", document="{}")
    value = ValueRow(tenant="acme", session="s", key="b", value="1", updated_ns=1)
    await store.write(PutResult(kept), PutProfile(profile), PutProfile(profile), PutValue(value))
    await store.write(PutValue(replace(value, key="a", updated_ns=2)))
    await store.write(PutValue(replace(value, value="2", updated_ns=3)))
    assert await store.result("r1") == kept
    assert await store.result("r2") is None
    assert await store.profile("p") == profile
    values = await store.values("acme", "s")
    assert [(found.key, found.value, found.updated_ns) for found in values] == [("b", "2", 3), ("a", "1", 2)]
    await store.write(DeleteValue(tenant="acme", session="s", key="b"), DeleteValue(tenant="x", session="s", key="a"))
    assert [found.key for found in await store.values("acme", "s")] == ["a"]


async def test_what_is_written_soon_comes_before_what_is_written_next(store: SqlStore) -> None:
    row = execution()
    store.write_soon(PutExecution(row))
    store.write_soon(PutCall(call(row)))
    await store.write(answer(call(row)))
    assert [kept.state for kept in await store.calls(row.id)] == ["done"]


async def test_what_is_written_soon_is_written_without_a_further_word(store: SqlStore) -> None:
    row = execution()
    store.write_soon(PutExecution(row))
    async with asyncio.timeout(10):
        while (found := await store.execution(row.id)) is None:
            await asyncio.sleep(0.01)
    assert found == row


HARD_TEXTS = [
    "",
    "\0",
    "a\0b\0",
    "\ud800",
    "\udfff\ud800",
    "\U0010fffe",
    "\U0010fffe000000",
    "ü\U0001f600",
    "'\";--",
    "\r\n\t",
]


@pytest.mark.parametrize("text", HARD_TEXTS)
async def test_any_text_is_kept_as_it_is(store: SqlStore, text: str) -> None:
    row = execution(principal=text, idempotency_key=text and f"{text}k", request=text)
    await store.write(PutExecution(row), PutCall(call(row, name=text, payload=text)))
    assert await store.execution(row.id) == row
    assert [head.id for head in await store.executions(principal=text)] == [row.id]
    assert await store.calls(row.id) == [call(row, name=text, payload=text)]
    if text:
        assert await store.execution_by_key(text, f"{text}k") == row


@given(st.text(alphabet=st.one_of(st.characters(), st.sampled_from("\0\ud800\udfff\U0010fffe0f"))))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_a_plain_text_is_utf8_without_nul_and_says_the_same(text: str) -> None:
    stored = plain(text)
    assert "\0" not in stored
    assert stored.encode().decode() == stored
    assert original(stored) == text


@given(st.text(alphabet="\0\ud800\U0010fffe0f", max_size=6), st.text(alphabet="\0\ud800\U0010fffe0f", max_size=6))
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (plain(one) == plain(other)) == (one == other)
