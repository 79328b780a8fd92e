"""Learnt rules allow what was recorded, and nothing at another place."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sandboxes.egress_decision import decide
from sandboxes.egress_learning import learn
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_set import RuleSet
from sandboxes.smallest_rule import smallest_rule, without_values
from sandboxes.target import Target

HOSTS = st.sampled_from(["a.test", "b.test", "10.0.0.1", "::1"])
SEGMENTS = st.sampled_from(["a", "b", "1", "2", "3", "4", "x*y", "%2A"])
PATHS = st.lists(SEGMENTS, max_size=3).map(lambda parts: "/" + "/".join(parts))
QUERIES = st.sampled_from([None, "", "p=1", "p=2&q=3", "q", "p=1&p=2", "p=1;q", "P=1"])


@st.composite
def requests(draw: Any) -> RequestFacts:
    body = draw(st.sampled_from([0, 0, 1, 700]))
    media = draw(st.sampled_from([(), ((b"content-type", b"text/csv"),)]))
    return RequestFacts(
        method=draw(st.sampled_from(["GET", "POST"])),
        scheme=draw(st.sampled_from(["http", "https"])),
        host=draw(HOSTS),
        port=draw(st.sampled_from([80, 443])),
        path=draw(PATHS),
        query=draw(QUERIES),
        headers=media if body else (),
        body_length=body,
    )


def recorded(request: RequestFacts) -> dict[str, Any]:
    """As the egress proxy records what mode report let go: no values, and the smallest rule without them."""
    return {
        "event": "egress", "method": request.method, "scheme": request.scheme, "host": request.host,
        "port": request.port, "path": Target(request.path, request.query).shown(), "bytes_out": request.body_length,
        "hint": without_values(smallest_rule(request)),
    }  # fmt: skip


def rules(requests: list[RequestFacts], least: int) -> RuleSet:
    return RuleSet.model_validate({"rules": learn(map(recorded, requests), least=least).rules})


@given(st.lists(requests(), max_size=12), st.sampled_from([0, 2, 3]))
def test_every_recorded_request_is_allowed(seen: list[RequestFacts], least: int) -> None:
    learned = rules(seen, least)
    for request in seen:
        assert decide(learned, request).allowed


@given(st.lists(requests(), max_size=12), requests(), st.sampled_from([0, 2, 3]))
def test_nothing_is_allowed_at_a_place_that_was_not_recorded(
    seen: list[RequestFacts], other: RequestFacts, least: int
) -> None:
    place = (other.method, other.scheme, other.host, other.port)
    if place not in {(one.method, one.scheme, one.host, one.port) for one in seen}:
        assert not decide(rules(seen, least), other).allowed


@given(st.lists(requests(), max_size=12), requests())
def test_without_generalising_nothing_is_allowed_on_a_path_that_was_not_recorded(
    seen: list[RequestFacts], other: RequestFacts
) -> None:
    starred = any("*" in one.path for one in seen)
    if not starred and (other.method, other.path) not in {(one.method, one.path) for one in seen}:
        assert not decide(rules(seen, 0), other).allowed


def paths_of(*paths: str, least: int = 3) -> list[str]:
    seen = [RequestFacts(method="GET", scheme="https", host="a.test", port=443, path=path) for path in paths]
    return [path for rule in rules(seen, least).rules for path in rule.paths]


def test_a_path_is_generalised_only_where_several_were_seen() -> None:
    assert paths_of("/u/1", "/u/2") == ["/u/1", "/u/2"]
    assert paths_of("/u/1", "/u/2", "/u/3") == ["/u/*"]
    assert paths_of("/u/1", "/u/2", "/u/3", "/u/1/keys") == ["/u/*", "/u/1/keys"]
    assert paths_of("/u/1/a", "/u/2/a", "/u/3/a", "/u/9/b") == ["/u/*/a", "/u/9/b"]
    assert paths_of("/u/1", "/u/2", "/u/3", least=0) == ["/u/1", "/u/2", "/u/3"]
    assert paths_of("/a", "/b/c", "/d/e/f") == ["/a", "/b/c", "/d/e/f"]


def test_what_no_rule_can_be_written_for_is_told() -> None:
    learned = learn(
        [{"event": "egress", "method": "get", "scheme": "https", "host": "a.test", "port": 443, "path": "/"}]
    )
    assert learned.rules == ()
    assert learned.notes == ('a.test: no rule can be written for a request: "get" is not a method; '
                             'write it in capitals, like "GET"',)  # fmt: skip
