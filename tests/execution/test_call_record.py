"""Host calls come back from the store as they were put there, and take little room in it."""

import json
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from runtime.execution.call_record import JournalledCall, journalled_call
from runtime.execution.execution import HostCallRecord
from runtime.store.changes import PutCall
from runtime.store.records import CallRow
from runtime.worker.frames import Call

_TIMES = {"started", "ended"}
_COUNTS = st.integers(0, 2**40)
RECORDS = st.builds(
    HostCallRecord,
    number=st.integers(1, 2_000),
    kind=st.sampled_from(["tool", "fetch"]),
    target=st.text(),
    started=st.just(0.0),
    outcome=st.sampled_from(["unfinished", "ok", "timeout"]) | st.text(),
    http_status=st.sampled_from([0, 200, 503]),
    bytes_out=_COUNTS,
    bytes_in=_COUNTS,
    egress=st.text(),
    credential=st.text(),
    read_only=st.booleans(),
    began=st.booleans(),
    never_sent=st.booleans(),
    approval=st.text(),
    edits=st.lists(st.text()),
    planned=st.text(),
)


def row_of(record: HostCallRecord) -> CallRow:
    call = Call(record.number, 1 if record.kind == "tool" else 2, "ledger.book", "{}")
    (change,) = JournalledCall(call=call, record=record).changes("exe_1")
    assert isinstance(change, PutCall)
    return change.row


def lasting(record: HostCallRecord) -> dict[str, object]:
    return {name: value for name, value in asdict(record).items() if name not in _TIMES}


@given(RECORDS)
def test_a_call_comes_back_as_it_was(record) -> None:
    assert lasting(journalled_call(row_of(record)).record) == lasting(record)


def test_what_has_not_happened_yet_takes_no_room() -> None:
    record = HostCallRecord(number=1, kind="tool", target="ledger.book", started=0.0)
    assert row_of(record).record == '{"kind":"tool","target":"ledger.book"}'


def test_a_record_that_has_everything_written_out_is_read() -> None:
    record = HostCallRecord(number=1, kind="fetch", target="GET https://a.example/", started=0.0, http_status=200)
    row = row_of(record)
    own = {"number", "read_only", *_TIMES}
    row = CallRow(**{**asdict(row), "record": json.dumps({k: v for k, v in asdict(record).items() if k not in own})})
    assert lasting(journalled_call(row).record) == lasting(record)
