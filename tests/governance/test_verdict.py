"""One approver's word: when it counts, and why it does not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.governance.verdict import DecisionRefusedError, is_asker, judge
from runtime.store.changes import Change, DecideApproval, PutDecision
from runtime.store.records import DecisionRow
from tests.governance.parts import DIGEST, NOW, request, row, said


def by(approver: str, verdict: str = "approve", number: int = 1) -> DecisionRow:
    return DecisionRow(
        approval_id="apr_1", number=number, approver=approver, verdict=verdict, decided_ns=NOW, digest=DIGEST
    )


def states(changes: tuple[Change, ...]) -> list[str]:
    return [change.state for change in changes if isinstance(change, DecideApproval)]


def test_one_approver_approves() -> None:
    changes = judge(row(), (), request(), said(), NOW)
    assert states(changes) == ["approved"]
    assert [type(change) for change in changes] == [PutDecision, DecideApproval]


def test_one_of_two_is_not_enough() -> None:
    assert states(judge(row(needed=2), (), request(), said(), NOW)) == []
    assert states(judge(row(needed=2), (by("bob"),), request(), said(), NOW)) == ["approved"]


def test_one_denies_whatever_others_said() -> None:
    assert states(judge(row(needed=3), (by("bob"),), request(), said(word="deny", reason="no"), NOW)) == ["denied"]


REFUSALS: list[tuple[dict[str, Any], tuple[DecisionRow, ...], dict[str, Any], int, str]] = [
    ({"state": "approved"}, (by("bob"),), {}, NOW, "ALREADY_DECIDED"),
    ({"state": "used"}, (by("bob"),), {}, NOW, "ALREADY_DECIDED"),
    ({"state": "denied"}, (by("bob", "deny"),), {}, NOW, "ALREADY_DECIDED"),
    ({"state": "void"}, (), {}, NOW, "ALREADY_DECIDED"),
    ({"state": "expired"}, (), {}, NOW, "APPROVAL_EXPIRED"),
    ({}, (), {}, NOW + 60 * 10**9, "APPROVAL_EXPIRED"),
    ({}, (), {"digest": "sha256:other"}, NOW, "ANOTHER_DIGEST"),
    ({}, (), {"digest": ""}, NOW, "ANOTHER_DIGEST"),
    ({}, (), {"approver": "agent"}, NOW, "OWN_REQUEST"),
    ({}, (), {"approver": "team"}, NOW, "OWN_REQUEST"),
    ({}, (), {"approver": " \uff21gent"}, NOW, "OWN_REQUEST"),
    ({"needed": 2}, (by("alice"),), {}, NOW, "DECIDED_BEFORE"),
    ({"needed": 2}, (by("Alice"),), {"approver": "ALICE "}, NOW, "DECIDED_BEFORE"),
    ({}, (), {"wanted": (("/amount", 900),)}, NOW, "NOT_NARROWER"),
    ({}, (), {"wanted": (("/amount", 1),) * 51}, NOW, "NOT_NARROWER"),
    ({"needed": 2}, (), {"wanted": (("/amount", 1),)}, NOW, "EDIT_TOO_EARLY"),
]


@pytest.mark.parametrize(("fields", "earlier", "word", "now", "code"), REFUSALS)
def test_what_does_not_count(
    fields: dict[str, Any], earlier: tuple[DecisionRow, ...], word: dict[str, Any], now: int, code: str
) -> None:
    with pytest.raises(DecisionRefusedError) as refused:
        judge(row(**fields), earlier, request(), said(**word), now)
    assert refused.value.code == code
    assert str(refused.value)


def test_a_development_profile_may_let_the_asker_approve() -> None:
    own = request(self_approval=True)
    assert states(judge(row(), (), own, said("agent"), NOW)) == ["approved"]


def test_the_asker_may_take_the_question_back() -> None:
    assert states(judge(row(), (), request(), said("agent", "deny"), NOW)) == ["denied"]


def test_an_edit_is_kept_with_the_last_approval() -> None:
    (_, decided) = judge(row(), (), request(), said(wanted=(("/amount", 100), ("/to", ["b"]))), NOW)
    assert isinstance(decided, DecideApproval)
    assert decided.edit == '[{"path": "/amount", "value": 100}, {"path": "/to", "keep": [1]}]'


@pytest.mark.parametrize("name", ["Agent", "AGENT", " agent ", "a gent", "\uff41\uff47\uff45\uff4e\uff54", "TEAM"])
def test_the_asker_is_known_however_the_name_is_spelt(name: str) -> None:
    assert is_asker(name, request())


WORDS = st.tuples(st.sampled_from(["alice", "bob", "carol", "agent", "team"]), st.sampled_from(["approve", "deny"]))


@given(st.integers(1, 3), st.lists(WORDS, max_size=8))
def test_it_is_approved_exactly_by_as_many_others_as_it_needs(needed: int, words: list[tuple[str, Any]]) -> None:
    state, kept = "open", list[DecisionRow]()
    for approver, word in words:
        try:
            changes = judge(row(needed=needed, state=state), kept, request(), said(approver, word), NOW)
        except DecisionRefusedError:
            continue
        kept += [change.row for change in changes if isinstance(change, PutDecision)]
        state = states(changes)[0] if states(changes) else state
    approvers = {each.approver for each in kept if each.verdict == "approve"}
    assert not approvers & {"agent", "team"}
    assert (state == "approved") is (len(approvers) == needed and all(each.verdict == "approve" for each in kept))
    assert len({each.approver for each in kept}) == len(kept)
