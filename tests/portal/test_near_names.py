"""Names like one that does not exist: found where they are, and in a time that no catalog's size decides."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.portal import near_names
from runtime.portal.near_names import NearNames

VERBS = ("get", "list", "create", "update", "delete")
NOUNS = ("repository", "issue", "pull_request", "user", "team", "branch", "commit", "release", "workflow", "secret")
MANY = [f"forge.{verb}_{noun}_{number}" for number in range(200) for verb in VERBS for noun in NOUNS]


def test_a_misspelt_name_is_found():
    near = NearNames(["forge.list_issues", "forge.create_issue", "forge.list_users", "mail.send"])
    assert near.of("forge.listIssue")[0] == "forge.list_issues"
    assert near.of("forge.issues_list")[0] == "forge.list_issues"
    assert near.of("github.nothing_of_the_kind_at_all") == []


def test_one_of_ten_thousand_is_found():
    near = NearNames([*MANY, "forge.rotate_deploy_credentials"])
    assert near.of("forge.rotate_deployment_credential")[0] == "forge.rotate_deploy_credentials"
    assert near.of("forge.update_workflow_17x")[0] == "forge.update_workflow_17"


class _Counted(NearNames):
    """Remembers what it compared last."""

    compared: list[str]

    def _likely(self, wanted: str) -> list[str]:
        self.compared = super()._likely(wanted)
        return self.compared


COUNTED = _Counted(MANY)


@given(st.text(max_size=600) | st.lists(st.sampled_from(["get_", "issue", "list", "forge."]), max_size=90).map("".join))
def test_whatever_is_asked_for_little_is_compared(wanted: str):
    assert len(COUNTED.of(wanted)) <= 3
    assert len(COUNTED.compared) <= near_names._CANDIDATES
