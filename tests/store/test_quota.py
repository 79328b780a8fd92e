"""Quotas: what is refused at one, what is recorded all the same, and that the counts are right."""

from collections.abc import AsyncIterator

import pytest

from runtime.store.changes import DeleteValue, PutCall, PutExecution, PutResult, PutValue
from runtime.store.errors import StoreConflictError, StoreQuotaError
from runtime.store.ledger import Quotas
from runtime.store.records import ResultRow, ValueRow
from runtime.store.sql_store import SqlStore
from tests.store.conftest import MakeDatabase
from tests.store.examples import answer, begun, call, ended, execution


@pytest.fixture
async def store(make_database: MakeDatabase) -> AsyncIterator[SqlStore]:
    opened = SqlStore(make_database(), Quotas(tenant_bytes=10_000, bytes=15_000))
    await opened.open()
    yield opened
    await opened.close()


async def test_a_tenant_at_its_quota_begins_nothing_new_and_others_do(store: SqlStore) -> None:
    row = execution(request="x" * 8_000)
    made = call(row)
    await store.write(*begun(row, made))
    before = await store.usage(row.tenant)
    with pytest.raises(StoreQuotaError, match="tenant_bytes reached: 10000 bytes") as caught:
        await store.write(PutCall(call(row, 2, payload="x" * 3_000)))
    assert (caught.value.quota, caught.value.value) == ("tenant_bytes", 10_000)
    assert await store.usage(row.tenant) == before
    assert len(await store.calls(row.id)) == 1
    await store.write(PutExecution(execution(tenant="another")))


async def test_what_has_happened_is_recorded_over_the_quota(store: SqlStore) -> None:
    row = execution(request="x" * 9_000)
    made = call(row)
    await store.write(*begun(row, made))
    await store.write(answer(made, answer="y" * 4_000))
    await store.write(ended(row, 5))
    kept = await store.execution(row.id)
    assert kept is not None
    assert kept.state == "ended"
    assert (await store.usage(row.tenant)).bytes > 10_000


async def test_the_quota_on_all_counts_every_tenant(store: SqlStore) -> None:
    for tenant in ("one", "two"):
        await store.write(PutExecution(execution(tenant=tenant, request="x" * 7_000)))
    with pytest.raises(StoreQuotaError, match=r"quotas\.bytes reached"):
        await store.write(PutExecution(execution(tenant="three", request="x" * 1_000)))
    assert (await store.usage("three")).bytes == 0


async def test_a_value_in_the_place_of_another_counts_once(store: SqlStore) -> None:
    value = ValueRow(tenant="acme", session="s", key="k", value="1" * 500, updated_ns=1)
    await store.write(PutValue(value))
    once = await store.usage("acme")
    for _ in range(3):
        await store.write(PutValue(value))
    assert await store.usage("acme") == once
    await store.write(DeleteValue(tenant="acme", session="s", key="k"))
    assert (await store.usage("acme")).bytes == 0


async def test_a_write_that_conflicts_counts_nothing(store: SqlStore) -> None:
    row = execution()
    await store.write(PutExecution(row))
    before = await store.usage()
    with pytest.raises(StoreConflictError):
        await store.write(
            PutResult(ResultRow(handle="r", tenant="acme", json="x" * 100, expires_ns=1)), PutExecution(row)
        )
    assert await store.usage() == before


async def test_the_count_is_the_same_after_opening_again(make_database: MakeDatabase) -> None:
    row = execution()
    first = SqlStore(make_database())
    await first.open()
    await first.write(*begun(row, call(row)), ended(row, 5))
    usage = await first.usage(row.tenant)
    await first.close()
    second = SqlStore(make_database())
    await second.open()
    assert await second.usage(row.tenant) == usage
    await second.close()
