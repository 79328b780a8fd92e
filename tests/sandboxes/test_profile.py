"""Profiles: the model, its digest, and the decisions over it."""

import pytest
from pydantic import ValidationError

from sandboxes.limits import Limits
from sandboxes.profile import Profile, environment_allowed, language_allowed, tool_allowed
from sandboxes.profile_file import load_profiles
from sandboxes.tools import ToolRules

BASE = {"name": "p", "version": 1, "languages": ("python",), "environments": ("dev",)}


def profile(**fields: object) -> Profile:
    return Profile.model_validate({**BASE, **fields})


def test_what_is_left_out_is_not_allowed() -> None:
    bare = profile()
    assert bare.egress.rules == ()
    assert not tool_allowed(bare, "ledger.get_account").allowed
    assert bare.limits == Limits()


def test_a_profile_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        profile().version = 2  # type: ignore[misc]


def test_the_digest_is_that_of_the_content() -> None:
    first = profile(tools={"allow": ["a.b"]})
    assert first.digest() == profile(tools={"allow": ["a.b"]}).digest()
    assert first.digest().startswith("sha256:")
    assert len(first.digest()) == 71


def test_defaults_written_out_do_not_change_the_digest() -> None:
    assert profile().digest() == profile(limits=Limits().model_dump(), tools={"deny": []}).digest()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "q"},
        {"version": 2},
        {"description": "x"},
        {"languages": ("javascript",)},
        {"environments": ("dev", "prod")},
        {"limits": {"cpu_ms": 1}},
        {"tools": {"allow": ["a.b"]}},
        {"egress": {"rules": [{"name": "r", "hosts": ["a.example"], "paths": ["/**"]}]}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_field_is_in_the_digest(change: dict[str, object]) -> None:
    assert profile(**change).digest() != profile().digest()


TOOLS = [
    # allow, deny, name, allowed, rule
    ([], [], "a.b", False, None),
    (["a.b"], [], "a.b", True, "a.b"),
    (["a.b"], [], "a.bc", False, None),
    (["a.b*"], [], "a.bc", True, "a.b*"),
    (["*.*"], [], "a.b", True, "*.*"),
    (["a.*"], [], "ab.c", False, None),
    (["a*.c"], [], "ab.c", True, "a*.c"),
    (["a.*"], [], "a.b.c", True, "a.*"),
    (["*.c"], [], "a.b.c", False, None),
    (["*.*"], ["a.b"], "a.b", False, "a.b"),
    (["a.b"], ["*.*"], "a.b", False, "*.*"),
    (["a.b"], [], "A.B", False, None),
    (["*.*"], [], "nodot", False, None),
    (["*.*"], [], "a.", False, None),
    (["*.*"], [], ".b", False, None),
    (["*.*"], [], "", False, None),
    (["a.get*account"], [], "a.get_my_account", True, "a.get*account"),
]


@pytest.mark.parametrize(("allow", "deny", "name", "allowed", "rule"), TOOLS)
def test_tool_decisions(allow: list[str], deny: list[str], name: str, allowed: bool, rule: str | None) -> None:
    decision = tool_allowed(profile(tools=ToolRules(allow=tuple(allow), deny=tuple(deny))), name)
    assert (decision.allowed, decision.rule) == (allowed, rule)
    assert decision.reason


def test_reasons_name_what_decided() -> None:
    rules = profile(tools={"allow": ["ledger.*"], "deny": ["*.*delete*"]})
    assert tool_allowed(rules, "ledger.get").reason == "ledger.get is allowed by tools.allow: ledger.*"
    assert tool_allowed(rules, "ledger.delete").reason == "ledger.delete is denied by tools.deny: *.*delete*"
    assert tool_allowed(rules, "notes.read").reason == "no pattern of tools.allow matches notes.read"
    assert tool_allowed(rules, "notes").reason == '"notes" is not the name of a tool; expected "upstream.tool"'


def test_languages_and_environments_are_those_listed() -> None:
    assert language_allowed(profile(), "python").allowed
    assert language_allowed(profile(), "javascript").reason == 'languages of profile p are python, not "javascript"'
    assert environment_allowed(profile(), "dev").allowed
    assert environment_allowed(profile(), "prod").reason == 'environments of profile p are dev, not "prod"'


def test_the_shipped_profiles_allow_more_and_more() -> None:
    store = load_profiles()
    untrusted, standard, trusted = (store.get(name) for name in ("untrusted", "standard", "trusted"))
    for name in Limits.model_fields:
        steps = [getattr(each.limits, name) for each in (untrusted, standard, trusted)]
        assert steps == sorted(steps), name


@pytest.mark.parametrize(
    ("name", "allowed_by"),
    [
        ("ledger.listAccounts", {"standard", "trusted"}),
        ("ledger.get_account", {"standard", "trusted"}),
        ("github.issues_list_for_repo", {"standard", "trusted"}),
        ("notes.read_note", {"standard", "trusted"}),
        ("notes.write_note", {"trusted"}),
        ("ledger.createTransfer", {"trusted"}),
        ("notes.delete_note", {"trusted"}),
        ("ledger.listAndDelete", {"trusted"}),
        ("budget.adjust", {"trusted"}),
    ],
)
def test_who_may_call_what_under_the_shipped_profiles(name: str, allowed_by: set[str]) -> None:
    profiles = load_profiles().profiles
    assert {each for each, profile in profiles.items() if tool_allowed(profile, name).allowed} == allowed_by


def test_only_trusted_fetches_and_only_reads() -> None:
    profiles = load_profiles().profiles
    assert [name for name, each in profiles.items() if each.egress.rules] == ["trusted"]
    (rule,) = profiles["trusted"].egress.rules
    assert (rule.schemes, rule.methods, rule.networks, rule.inject) == (("https",), ("GET", "HEAD"), (), None)
