"""Floors of the engines: a table of what is found and accepted against what is decided."""

import pytest

from runtime.isolate.versions import FLOORS, QUICKJS, WASMTIME, found_versions, judge

GOOD = {WASMTIME: "50.0.1", QUICKJS: "0.17.0.2"}

CASES = {
    "both new enough": (GOOD, [], [True, True]),
    "exactly the floor": ({WASMTIME: "50.0.0", QUICKJS: "0.16.0"}, [], [True, True]),
    "an old Wasmtime": ({**GOOD, WASMTIME: "49.0.0"}, [], [False, True]),
    "an old QuickJS": ({**GOOD, QUICKJS: "0.15.1"}, [], [True, False]),
    "numbers, not text": ({**GOOD, QUICKJS: "0.9.0", WASMTIME: "9.0.0"}, [], [False, False]),
    "a pre-release of the floor": ({**GOOD, WASMTIME: "50.0.0rc1"}, [], [False, True]),
    "one that cannot be told": ({WASMTIME: "50.0.1"}, [], [True, False]),
    "accepted in so many words": ({**GOOD, WASMTIME: "49.0.0"}, ["wasmtime 49.0.0"], [True, True]),
    "another version accepted": ({**GOOD, WASMTIME: "49.0.0"}, ["wasmtime 49.0.1"], [False, True]),
    "another engine accepted": ({**GOOD, WASMTIME: "49.0.0"}, ["quickjs-ng 49.0.0"], [False, True]),
}


@pytest.mark.parametrize(("found", "accepted", "expected"), CASES.values(), ids=CASES.keys())
def test_whether_executions_start(found: dict[str, str], accepted: list[str], expected: list[bool]) -> None:
    assert [state.decision.allowed for state in judge(found, accepted)] == expected


def test_a_refusal_names_advisories_and_the_way_out() -> None:
    wasmtime, _ = judge({**GOOD, WASMTIME: "49.0.0"}, [])
    assert wasmtime.decision.reason.startswith("wasmtime 49.0.0 is below 50.0.0 (GHSA-897f-g5gm-fmxm, ")
    assert wasmtime.decision.reason.endswith('accept_vulnerable_versions: ["wasmtime 49.0.0"] into lockgate.yaml')
    assert wasmtime.decision.rule == "wasmtime >= 50.0.0"


def test_what_is_accepted_is_told() -> None:
    wasmtime, _ = judge({**GOOD, WASMTIME: "49.0.0"}, ["wasmtime 49.0.0"])
    assert wasmtime.decision.reason == 'accept_vulnerable_versions names "wasmtime 49.0.0"'


def test_the_engines_of_this_checkout_are_found_and_good() -> None:
    found = found_versions()
    assert set(found) == {WASMTIME, QUICKJS}
    assert all(state.decision.allowed for state in judge(found, []))


def test_every_floor_says_why() -> None:
    for floor in FLOORS:
        assert floor.advisories
        assert all(advisory.ids and advisory.what and advisory.fixed_in for advisory in floor.advisories)
