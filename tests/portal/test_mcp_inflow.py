"""What a server may send, as transcripts: what was asked, what comes, who gets it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import jsonrpc_message_adapter

from runtime.portal.mcp_inflow import FloodError, Inflow, InflowBounds, JsonBoundError, Pace
from runtime.portal.mcp_listing import Relisting


def message(**fields: Any) -> Any:
    return jsonrpc_message_adapter.validate_python({"jsonrpc": "2.0", **fields}, by_name=False)


def answer(number: Any) -> Any:
    return message(id=number, result={})


def note(method: str, **params: Any) -> Any:
    return message(method=f"notifications/{method}", params=params)


def asked(*numbers: int) -> Inflow:
    inflow = Inflow()
    for number in numbers:
        inflow.sent(message(id=number, method="tools/call", params={}), scope=f"call {number}")
    return inflow


@pytest.mark.parametrize(
    ("comes", "wanted"),
    [
        ([answer(1)], [True]),
        ([answer("1")], [True]),
        ([answer(2), answer(1)], [True, True]),
        ([answer(1), answer(1)], [True, False]),
        ([answer(3)], [False]),
        ([message(id=1, error={"code": 1, "message": "no"})], [True]),
        ([note("progress", progressToken=1, progress=1)], [True]),
        ([note("progress", progressToken=3, progress=1)], [False]),
        ([answer(1), note("progress", progressToken=1, progress=1)], [True, False]),
        ([note("message", level="info", data="x"), note("tools/list_changed")], [False, True]),
        ([note("anything/else"), message(id=1, method="ping")], [False, True]),
    ],
    ids=[
        "answer", "id as text", "out of order", "twice", "never asked", "error", "progress", "progress of nothing",
        "late progress", "log line", "unknown",
    ],
)  # fmt: skip
def test_what_is_for_somebody_is_passed_on(comes: list[Any], wanted: list[bool]):
    inflow = asked(1, 2)
    assert [inflow.took(each)[0] for each in comes] == wanted
    assert inflow.dropped == wanted.count(False)


def test_an_answer_after_the_cancellation_is_for_nobody():
    inflow = asked(1)
    assert inflow.sent(note("cancelled", requestId=1)) == "call 1"
    assert inflow.took(answer(1)) == (False, None)


def test_an_answer_costs_nothing_and_the_same_again_costs_by_its_size():
    inflow = asked(1)
    assert inflow.cost(answer(1), 1 << 20) == 0
    inflow.took(answer(1))
    assert inflow.cost(answer(1), 1 << 20) == 257


def test_a_server_may_not_ask_without_taking_answers():
    inflow = Inflow(InflowBounds(open_requests=3))
    for number in range(3):
        inflow.took(message(id=number, method="ping"))
    inflow.sent(answer(0))
    inflow.took(message(id=3, method="ping"))
    with pytest.raises(FloodError, match="asked more than 3 things and took no answer"):
        inflow.took(message(id=4, method="ping"))


def test_a_message_of_too_many_values_is_not_decoded():
    inflow = Inflow(InflowBounds(message_values=1_000))
    inflow.check('{"text": "' + "[," * 10_000 + '"}')
    with pytest.raises(JsonBoundError):
        inflow.check("[" + "[]," * 1_000 + "[]]")
    with pytest.raises(JsonBoundError):
        inflow.check("[" * 600 + "]" * 600)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 300)), max_size=50))
def test_whoever_waits_as_told_never_has_more_than_burst_and_rate(steps: list[tuple[float, float]]):
    pace, now, spent = Pace(burst=100, per_s=10), 0.0, 0.0
    for idle, units in steps:
        now += idle
        now += pace.spend(units, now)
        spent += units
        assert spent <= 100 + 10 * now + 1e-6


def test_one_that_never_pauses_is_given_up():
    pace = Pace(burst=10, per_s=10, patience_s=2)
    now = 0.0
    with pytest.raises(FloodError, match="nobody asked for, for 2 s"):
        for _ in range(10_000):
            now += pace.spend(1, now)
    assert 2 < now < 4


def test_one_that_pauses_now_and_then_is_not():
    pace, now = Pace(burst=10, per_s=10, patience_s=2), 0.0
    for _ in range(100):
        for _ in range(20):
            now += pace.spend(1, now) + 0.001
        now += 1


def test_changes_without_end_are_looked_at_less_and_less():
    relisting = Relisting()
    assert [relisting.pause_s(0, changed=True) for _ in range(10)] == [0.1] * 10
    assert relisting.pause_s(0, changed=True) > 25
    assert relisting.pause_s(0, changed=False) == 0.1
    assert relisting.pause_s(1, changed=False) == 4
