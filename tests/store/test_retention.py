"""Retention: what is removed, and what is kept because something is rebuilt from it."""

from collections.abc import AsyncIterator

import pytest

from runtime.store.changes import (
    PutApproval,
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
    UpdateSession,
)
from runtime.store.records import DecisionRow, DeliveryRow, FileRow, LogRow, ProfileRow, ResultRow, SessionRow, ValueRow
from runtime.store.retention import BATCH, Retention
from runtime.store.sql_store import SqlStore
from runtime.store.store import StoreUsage
from tests.store.conftest import MakeDatabase
from tests.store.examples import approval, begun, call, ended, execution, trace

HOUR = 3_600 * 1_000_000_000


@pytest.fixture
async def store(make_database: MakeDatabase) -> AsyncIterator[SqlStore]:
    opened = SqlStore(make_database(), retention=Retention(ended_ns=HOUR, ended=3, session_ns=HOUR))
    await opened.open()
    yield opened
    await opened.close()


async def test_an_ended_execution_goes_with_all_that_belongs_to_it(store: SqlStore) -> None:
    row, asked = execution(), None
    asked = approval(row)
    await store.write(
        *begun(row, call(row)),
        PutProfile(ProfileRow(digest=row.profile_digest, document="{}")),
        PutTrace(trace(row)),
        PutLogs(LogRow(execution_id=row.id, first=1, data='["line"]')),
        PutFile(FileRow(execution_id=row.id, number=1, name="a", type="text/plain", sha256="0", data=b"a")),
        PutApproval(asked),
        PutDecision(
            DecisionRow(approval_id=asked.id, number=1, approver="b", verdict="approve", decided_ns=1, digest="d")
        ),
        PutDelivery(DeliveryRow(id="d1", approval_id=asked.id, event="asked", next_ns=0)),
        ended(row, 10),
    )
    assert (await store.prune(9)).executions == 0
    held = (await store.usage(row.tenant)).bytes
    assert held > 0
    pruned = await store.prune(11 + HOUR)
    assert (pruned.executions, pruned.bytes) == (1, held)
    assert await store.execution(row.id) is None
    assert [*await store.calls(row.id), *await store.trace(row.id), *await store.logs(row.id)] == []
    assert [*await store.files(row.id), *await store.approvals(), *await store.decisions(asked.id)] == []
    assert await store.deliveries(1) == []
    assert await store.profile(row.profile_digest) is None
    assert await store.usage() == StoreUsage(bytes=0, quota=0)


async def test_what_is_under_way_stays_whatever_its_age(store: SqlStore) -> None:
    running, paused = execution(), execution(state="paused")
    await store.write(PutExecution(running), PutExecution(paused))
    assert (await store.prune(100 * HOUR)).executions == 0
    assert [head.id for head in await store.unfinished()] == [running.id, paused.id]


async def test_beyond_the_count_the_oldest_go_first(store: SqlStore) -> None:
    rows = [execution() for _ in range(BATCH + 5)]
    for number, row in enumerate(rows):
        await store.write(PutExecution(row), ended(row, 100 + number))
    assert (await store.prune(200)).executions == BATCH + 2
    assert [head.id for head in await store.executions()] == [row.id for row in reversed(rows[-3:])]


async def test_a_session_s_executions_stay_while_it_or_a_fork_of_it_can_go_on(store: SqlStore) -> None:
    origin = SessionRow(id="s1", tenant="acme", name="origin", created_ns=1, used_ns=1)
    fork = SessionRow(id="s2", tenant="acme", name="fork", created_ns=2, used_ns=90 * HOUR, parent="s1", forked_at="e")
    row = execution(session="s1")
    other = execution(session="s1", tenant="another")
    for one in (row, other):
        await store.write(PutExecution(one), ended(one, 10))
    await store.write(PutSession(origin), PutSession(fork))
    await store.write(UpdateSession(id="s1", used_ns=1, state="closed"))
    pruned = await store.prune(90 * HOUR)
    assert (pruned.executions, pruned.sessions) == (1, 0)
    assert await store.execution(row.id) is not None
    assert (await store.prune(92 * HOUR)).sessions == 2
    assert (await store.prune(92 * HOUR)).executions == 1


async def test_a_session_with_an_execution_that_waits_for_a_human_stays(store: SqlStore) -> None:
    await store.write(
        PutSession(SessionRow(id="s1", tenant="acme", name="notebook", created_ns=1, used_ns=1)),
        PutExecution(execution(session="notebook", state="paused")),
        PutValue(ValueRow(tenant="acme", session="notebook", key="k", value="1", updated_ns=1)),
        PutValue(ValueRow(tenant="acme", session="unused", key="k", value="1", updated_ns=1)),
    )
    assert (await store.prune(90 * HOUR)).sessions == 0
    assert await store.session("acme", "notebook") is not None
    assert len(await store.values("acme", "notebook")) == 1
    assert await store.values("acme", "unused") == []


async def test_results_go_when_they_expire(store: SqlStore) -> None:
    for handle, expires in (("r1", 10), ("r2", 20)):
        await store.write(PutResult(ResultRow(handle=handle, tenant="acme", json="[]", expires_ns=expires)))
    assert (await store.prune(15)).results == 1
    assert await store.result("r1") is None
    assert await store.result("r2") is not None
