"""What is undone, by which calls, and what the last gateway left undone."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.execution.literal_request import Inverse
from runtime.governance.rollback import Outcome, outcomes_of, program_inputs, steps_of, undoable
from runtime.service.rollbacks import Rollbacks
from runtime.store.records import CallRow

CANCEL = Inverse(tool="shop.cancel", arguments={"id": "/result/id", "of": "/arguments/from"})


def call(number: int, name: str = "shop.place", **fields: Any) -> CallRow:
    record = {"outcome": "ok", "target": name, **fields.pop("record", {})}
    given: dict[str, Any] = {
        "execution_id": "exe_1",
        "number": number,
        "call_id": number,
        "kind": "1",
        "name": name,
        "payload": json.dumps({"from": "a"}),
        "payload_digest": "",
        "read_only": False,
        "state": "done",
        "started_ns": 1,
        "ok": True,
        "answer": json.dumps({"id": number}),
        "record": json.dumps(record),
        **fields,
    }
    return CallRow(**given)


def inverse_of(tool: str, _session: str) -> Inverse | None:
    return CANCEL if tool == "shop.place" else None


def test_completed_writes_in_reverse_order_with_arguments_from_the_record() -> None:
    steps = steps_of([call(1), call(2, "shop.note"), call(3)], inverse_of)
    assert [(step.number, step.tool) for step in steps] == [(3, "shop.cancel"), (2, ""), (1, "shop.cancel")]
    assert [step.arguments for step in undoable(steps)] == [{"id": 3, "of": "a"}, {"id": 1, "of": "a"}]
    told = json.loads(program_inputs(steps))
    assert told[0] == {"number": 3, "upstream": "shop", "name": "cancel", "arguments": {"id": 3, "of": "a"}}


def test_a_whole_response_is_undone_by_its_data() -> None:
    (step,) = steps_of(
        [call(1, "shop.place.response", answer=json.dumps({"data": {"id": 9}, "status": 200}))], inverse_of
    )
    assert step.arguments == {"id": 9, "of": "a"}


@pytest.mark.parametrize(
    "fields",
    [
        {"read_only": True},
        {"ok": False},
        {"state": "intent"},
        {"record": {"outcome": "denied"}},
        {"record": {"planned": "{}"}},
        {"name": "lockgate.emit"},
    ],
)
def test_what_changed_nothing_is_no_step(fields: dict[str, Any]) -> None:
    assert steps_of([call(1, **fields)], inverse_of) == ()


@pytest.mark.parametrize("fields", [{"answer": "{}"}, {"answer": None, "payload": None}, {"payload": "nonsense"}])
def test_a_record_that_lacks_what_the_inverse_needs_says_so(fields: dict[str, Any]) -> None:
    (step,) = steps_of([call(1, **fields)], inverse_of)
    assert (step.tool, bool(step.why)) == ("", True)


@pytest.mark.parametrize("result", ["", "null", "{}", "[1]", '[{"number": 1}]'])
def test_a_result_of_another_form_tells_nothing(result: str) -> None:
    assert outcomes_of(result) == ()


def test_what_the_program_returned() -> None:
    assert outcomes_of('[{"number": 1, "outcome": "undone", "reason": ""}]') == (Outcome(number=1, outcome="undone"),)


async def test_what_the_last_gateway_left_is_begun() -> None:
    heads = [SimpleNamespace(id=name, status=status) for name, status in [("a", "succeeded"), ("b", "limit_cpu")]]

    async def executions(**_: Any) -> list[Any]:
        return heads

    async def find(execution_id: str) -> Any:
        return SimpleNamespace(id=execution_id)

    executor: Any = SimpleNamespace(archive=SimpleNamespace(find=find))
    store: Any = SimpleNamespace(executions=executions)
    rollbacks = Rollbacks(executor, store, inverse_of)
    begun: list[str] = []
    rollbacks.ended = lambda execution: begun.append(execution.id)  # type: ignore[method-assign]
    await rollbacks.recover()
    assert begun == ["b"]
