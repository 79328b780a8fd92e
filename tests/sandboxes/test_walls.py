"""Walls a profile can demand: a table of reports and demands against decisions, and what a profile accepts."""

import pytest

from sandboxes.profile_file import ProfileError, parse_profile
from sandboxes.walls import UP, WALLS, lockdown_suffices, missing_walls

ALL_UP = dict.fromkeys(WALLS, UP)
NO_FILES = {**ALL_UP, "files": "refused: landlock"}
HEAD = "name: walled\nversion: 1\nlanguages: [python]\nenvironments: [dev]\n"

CASES = {
    "nothing demanded, nothing stands": ((), {}, True),
    "nothing demanded, one missing": ((), NO_FILES, True),
    "all demanded, all stand": (WALLS, ALL_UP, True),
    "another demanded": (("network", "system_calls"), NO_FILES, True),
    "the missing one demanded": (("files",), NO_FILES, False),
    "demanded and not reported": (("files",), {"network": UP}, False),
}


@pytest.mark.parametrize(("required", "report", "expected"), CASES.values(), ids=CASES.keys())
def test_whether_a_sandbox_starts(required, report: dict[str, str], expected: bool) -> None:
    assert lockdown_suffices(required, report).allowed is expected


def test_the_refusal_says_which_and_why() -> None:
    reason = lockdown_suffices(["files", "network"], {**NO_FILES, "network": "refused: unshare"}).reason
    assert reason.endswith("files (refused: landlock), network (refused: unshare)")


def test_a_wall_left_out_of_a_report_does_not_stand() -> None:
    assert missing_walls({}) == dict.fromkeys(WALLS, "not reported")
    assert missing_walls(NO_FILES) == {"files": "refused: landlock"}


def test_a_profile_demands_walls() -> None:
    text = HEAD + "require_lockdown: [network, system_calls]\n"
    assert parse_profile(text.encode(), "walled.yaml").require_lockdown == ("network", "system_calls")
    assert parse_profile(HEAD.encode(), "walled.yaml").require_lockdown == ()


@pytest.mark.parametrize(("value", "told"), [("[moat]", "moat"), ("[files, files]", "listed twice"), ("files", "list")])
def test_a_profile_that_demands_what_there_is_not_is_refused(value: str, told: str) -> None:
    with pytest.raises(ProfileError, match=told):
        parse_profile((HEAD + f"require_lockdown: {value}\n").encode(), "walled.yaml")
