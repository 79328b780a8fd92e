"""What a change of rules newly allows: named cases, and properties against decisions."""

from typing import Any

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from sandboxes.egress_decision import decide
from sandboxes.egress_difference import Difference, newly_allowed
from sandboxes.host_pattern import host_covers, host_matches
from sandboxes.network import network_covers
from sandboxes.path_pattern import path_covers, path_matches, path_meets
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_set import RuleSet
from tests.sandboxes.egress_world import HOST_PATTERNS, HOSTS, PATH_PATTERNS, PATHS, RULES, requests

SECRETS = st.sampled_from([None, None, {"secret": "s", "as": "bearer"}, {"secret": "t", "as": "bearer"}])
HEADER = {"secret": "h", "as": "header", "name": "x-key"}
TOGETHER = st.sampled_from(
    [[HEADER], [{"secret": "s", "as": "bearer"}, HEADER], [{"secret": "t", "as": "bearer"}, HEADER]]
)
NETWORKS = st.sampled_from([(), (), ("10.0.0.0/8",), ("10.1.0.0/16",)])


@st.composite
def carrying(draw: Any) -> dict[str, Any]:
    """A rule that may add a secret and reach a network."""
    inject = draw(SECRETS | TOGETHER)
    schemes = {"schemes": ["https"]} if inject else {}
    return {**draw(RULES), **schemes, "inject": inject, "networks": draw(NETWORKS)}


RULE_LISTS = st.lists(carrying(), max_size=3)


def rule_set(*rules: dict[str, Any], **fields: Any) -> RuleSet:
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    return RuleSet.model_validate({"rules": named, **fields})


@st.composite
def changes(draw: Any) -> tuple[RuleSet, RuleSet]:
    """An old and a new set that mostly have rules in common."""
    old = draw(RULE_LISTS)
    kept = draw(st.permutations(old))[: draw(st.integers(0, len(old)))] if draw(st.booleans()) else old
    named = [{"name": f"old{number}", **rule} for number, rule in enumerate(old)]
    new = [next(n for n in named if {k: v for k, v in n.items() if k != "name"} == rule) for rule in kept]
    unique = list({rule["name"]: rule for rule in new}.values())
    more = [{"name": f"new{number}", **rule} for number, rule in enumerate(draw(st.lists(carrying(), max_size=1)))]
    both = [*more, *unique] if draw(st.booleans()) else [*unique, *more]
    return RuleSet.model_validate({"rules": named}), RuleSet.model_validate({"rules": both})


@given(changes(), st.lists(requests(), min_size=1, max_size=8))
def test_what_is_newly_allowed_is_always_named(sets: tuple[RuleSet, RuleSet], asked: list[RequestFacts]) -> None:
    old, new = sets
    difference = newly_allowed(old, new)
    event("different" if difference else "the same")
    for request in asked:
        before, after = decide(old, request), decide(new, request)
        if after.allowed and not before.allowed:
            assert difference.allowed
        if not after.allowed or after.rule is None:
            continue
        was = before.rule if before.allowed else None
        if set(after.rule.injections) - set(was.injections if was else ()):
            assert difference.credentials
        reached = was.networks if was else ()
        if not all(any(network_covers(wide, network) for wide in reached) for network in after.rule.networks):
            assert difference.networks


@given(RULE_LISTS)
def test_nothing_is_new_in_the_same_rules(rules: list[dict[str, Any]]) -> None:
    assert not newly_allowed(rule_set(*rules), rule_set(*rules))


@given(RULE_LISTS)
def test_a_rule_less_at_the_end_allows_nothing_new(rules: list[dict[str, Any]]) -> None:
    assert not newly_allowed(rule_set(*rules), rule_set(*rules[:-1]))


@given(st.sampled_from(list(HOST_PATTERNS)), st.sampled_from(list(HOST_PATTERNS)), st.sampled_from(HOSTS))
def test_a_host_pattern_covers_only_what_it_matches(wide: str, narrow: str, host: str) -> None:
    if host_covers(wide, narrow) and host_matches(narrow, host):
        assert host_matches(wide, host)


SEGMENTS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3)
PATTERNS = st.builds(
    lambda segments, tail: "/" + "/".join([*segments, *tail]), SEGMENTS, st.sampled_from([[], ["**"], [""]])
)
SOME_PATHS = st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


@given(PATTERNS, PATTERNS, SOME_PATHS)
def test_path_patterns_cover_and_meet_as_they_match(one: str, other: str, path: str) -> None:
    both = path_matches(one, path), path_matches(other, path)
    if path_covers(one, other):
        assert both[0] or not both[1]
    if all(both):
        assert path_meets(one, other)
    assert path_covers(one, one)
    assert not path_covers(one, "/**")


API = {"name": "api", "hosts": ["api.test"], "paths": ["/v1/**"]}


def difference(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> Difference:
    return newly_allowed(RuleSet.model_validate({"rules": old}), RuleSet.model_validate({"rules": new}))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param({}, {"paths": ["/v1/users/*"]}, (), id="a narrower path"),
        pytest.param({}, {"hosts": ["api.test", "api.test"]}, (), id="a host twice"),
        pytest.param({"methods": ["*"]}, {"methods": ["GET", "DELETE"]}, (), id="fewer methods"),
        pytest.param({"hosts": ["**.test"]}, {"hosts": ["a.test", "*.b.test", "**.c.test"]}, (), id="below a wildcard"),
        pytest.param({}, {"query": {"q": {}}}, (), id="a constraint more"),
        pytest.param({"mcp": {"tools": ["a*"]}}, {"mcp": {"tools": ["ab", "ac*"]}}, (), id="narrower tools"),
        pytest.param({}, {"methods": ["GET", "POST"]}, ('rule "api": POST https://api.test:443/v1/**',), id="a method"),
        pytest.param(
            {}, {"paths": ["/v1/**", "/v2/a"]},
            ('rule "api": GET https://api.test:443/v2/a', 'rule "api": HEAD https://api.test:443/v2/a'), id="a path",
        ),
        pytest.param(
            {"query": {"q": {"values": ["1"]}}}, {"methods": ["GET"], "query": {"q": {"values": ["1", "2"]}}},
            ('rule "api": GET https://api.test:443/v1/** with {"query":{"q":{"values":["2"]}}}',), id="a value",
        ),
        pytest.param(
            {"methods": ["POST"], "mcp": {"tools": ["a"]}}, {"methods": ["POST"], "mcp": {"tools": ["a", "b"]}},
            ('rule "api": POST https://api.test:443/v1/** with {"mcp":{"tools":["a","b"]}}',), id="a tool",
        ),
    ],
)  # fmt: skip
def test_cases(old: dict[str, Any], new: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert difference([{**API, **old}], [{**API, **new}]).allowed == expected


def test_rules_are_compared_as_sets() -> None:
    """Another name, another order, one rule split into two: nothing is new."""
    other = {"name": "other", "hosts": ["b.test"], "paths": ["/"]}
    assert not difference([API, other], [other, {**API, "name": "renamed"}])
    split = [{**API, "name": "get", "methods": ["GET"]}, {**API, "name": "head", "methods": ["HEAD"]}]
    assert not difference([API], split)
    assert not difference(split, [API])


BEARER = {"inject": {"secret": "key", "as": "bearer"}}


def test_newly_reachable_credentials_are_flagged() -> None:
    assert difference([API], [{**API, **BEARER}]).credentials == (
        'rule "api" adds key -> authorization: Bearer *** to GET https://api.test:443/v1/**',
        'rule "api" adds key -> authorization: Bearer *** to HEAD https://api.test:443/v1/**',
    )
    assert not difference([{**API, **BEARER}], [{**API, **BEARER}])
    assert not difference([{**API, **BEARER}], [API]).credentials
    wider = difference([{**API, **BEARER}], [{**API, **BEARER, "methods": ["GET", "HEAD", "PUT"]}])
    assert wider.credentials == ('rule "api" adds key -> authorization: Bearer *** to PUT https://api.test:443/v1/**',)


def test_of_several_credentials_the_new_one_is_flagged() -> None:
    both = {"inject": [BEARER["inject"], HEADER], "methods": ["GET"]}
    assert difference([{**API, **BEARER}], [{**API, **both}]).credentials == (
        'rule "api" adds h -> x-key: *** to GET https://api.test:443/v1/**',
    )
    assert not difference([{**API, **both}], [{**API, **BEARER, "methods": ["GET"]}])
    assert not difference([{**API, **both}], [{**API, **both, "inject": [HEADER, BEARER["inject"]]}])


def test_a_credential_behind_a_rule_that_came_first_is_new_when_that_rule_goes() -> None:
    first = {**API, "name": "first"}
    assert difference([first, {**API, **BEARER}], [{**API, **BEARER}]).credentials
    assert difference([first, {**API, **BEARER}], [{**API, **BEARER}, first]).credentials
    assert not difference([first, {**API, **BEARER}], [first, {**API, **BEARER}])


def test_networks_wildcards_and_modes_are_flagged() -> None:
    private = difference([API], [{**API, "networks": ["10.0.0.0/8"]}])
    assert private.networks == ('rule "api" reaches the network 10.0.0.0/8',)
    assert not difference([{**API, "networks": ["10.0.0.0/8"]}], [{**API, "networks": ["10.1.0.0/16"]}])
    wild = difference([API], [{**API, "hosts": ["**"], "methods": ["*"], "paths": ["/**"]}])
    assert wild.wildcards == ('rule "api": every host of **', 'rule "api": every method', 'rule "api": every path')
    reporting = newly_allowed(RuleSet(), RuleSet.model_validate({"mode": "report", "report_in": ["dev", "prod"]}))
    assert reporting.modes == tuple(f"mode report lets everything public go in {place}" for place in ("dev", "prod"))


def test_outgoing_data_rules_that_go_are_flagged() -> None:
    cards = {"name": "cards", "find": ["card-number"]}
    screened, renamed = (RuleSet.model_validate({"dlp": [{**cards, "name": name}]}) for name in ("cards", "other"))
    assert not newly_allowed(RuleSet(), screened)
    assert not newly_allowed(screened, renamed)
    assert newly_allowed(screened, RuleSet()).screens == ('outgoing data rule "cards" is gone or was changed',)
    redacting = RuleSet.model_validate({"dlp": [{**cards, "action": "redact"}]})
    assert newly_allowed(screened, redacting).screens


def test_a_rule_too_large_to_take_apart_is_compared_as_a_whole() -> None:
    many = {"query": {name: {"values": [str(n) for n in range(100)]} for name in "abc"}}
    (line,) = difference([API | many | {"methods": ["PUT"]}], [{**API, **many, "methods": ["GET"]}]).allowed
    assert line.startswith('rule "api": GET https://api.test:443/v1/** with ')


def test_the_world_knows_its_patterns() -> None:
    for pattern, matches in HOST_PATTERNS.items():
        assert [host_matches(pattern, host) for host in HOSTS] == [bool(matches(host)) for host in HOSTS]
    for pattern, matches in PATH_PATTERNS.items():
        assert [path_matches(pattern, path) for path in PATHS] == [bool(matches(path)) for path in PATHS]
