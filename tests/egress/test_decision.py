"""Pure parts: authorities, paths, decisions, addresses."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.addresses import Allowance, refuse_address
from egress.request import CanonicalRequest, Denial, RawRequest, read_request
from sandboxes.address import special_kind
from sandboxes.authority import Authority, agree, parse_authority
from sandboxes.egress_decision import decide, decide_tunnel
from sandboxes.egress_rule import EgressRule
from sandboxes.host_pattern import host_matches
from sandboxes.path_pattern import path_matches
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_set import RuleSet
from sandboxes.target import normalise_path, parse_target


def rules(**fields: object) -> RuleSet:
    base = {"name": "r", "hosts": ["api.example.com"], "paths": ["/v1/**"]}
    return RuleSet(rules=(EgressRule.model_validate({**base, **fields}),))


def facts(**fields: object) -> RequestFacts:
    base = {"method": "GET", "scheme": "https", "host": "api.example.com", "port": 443, "path": "/v1/x"}
    return RequestFacts(**{**base, **fields})


@pytest.mark.parametrize(
    ("pattern", "host", "expected"),
    [
        ("a.com", "a.com", True),
        ("a.com", "b.a.com", False),
        ("*.a.com", "b.a.com", True),
        ("*.a.com", "a.com", False),
        ("*.a.com", "c.b.a.com", False),
        ("*.a.com", "ba.com", False),
        ("*.a.com", ".a.com", False),
        ("**.a.com", "c.b.a.com", True),
        ("**.a.com", "a.com", False),
        ("**.a.com", "xa.com", False),
        ("**.a.com", "a.com.evil.com", False),
        ("**", "anything.example", True),
        ("**", "127.0.0.1", False),
        ("**", "::1", False),
        ("*.0.0.1", "127.0.0.1", False),
    ],
)
def test_host_patterns(pattern: str, host: str, expected: bool) -> None:
    assert host_matches(pattern, host) is expected


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("/a", "/a", True),
        ("/a", "/a/", False),
        ("/a", "/ab", False),
        ("/a/*", "/a/b", True),
        ("/a/*", "/a/", False),
        ("/a/*", "/a/b/c", False),
        ("/a/*/c", "/a/b/c", True),
        ("/a/*/c", "/a/b/d", False),
        ("/a/**", "/a/b/c", True),
        ("/a/**", "/a/", True),
        ("/a/**", "/a", False),
        ("/a/**", "/ab/c", False),
        ("/*/b/**", "/x/b/c/d", True),
        ("/**", "/", True),
        ("/", "/", True),
        ("/", "/a", False),
    ],
)
def test_path_patterns(pattern: str, path: str, expected: bool) -> None:
    assert path_matches(pattern, path) is expected


@pytest.mark.parametrize(
    ("request_fields", "code", "reason"),
    [
        ({}, "allowed", 'rule "r"'),
        ({"host": "b.com"}, "host", "no rule names the host b.com"),
        ({"scheme": "http", "port": 80}, "scheme", "no rule allows http to api.example.com"),
        ({"port": 8443}, "port", "no rule allows port 8443 of api.example.com"),
        ({"method": "POST"}, "method", "no rule allows POST to api.example.com"),
        ({"path": "/v2"}, "path", "no rule allows GET /v2 on api.example.com"),
    ],
)
def test_decisions_and_their_reasons(request_fields: dict, code: str, reason: str) -> None:
    decision = decide(rules(), facts(**request_fields))
    assert (decision.allowed, decision.code, decision.reason) == (code == "allowed", code, reason)


def test_no_rules_deny() -> None:
    assert not decide(RuleSet(), facts()).allowed


def test_the_first_rule_that_allows_decides() -> None:
    both = RuleSet(
        rules=(
            EgressRule(name="narrow", hosts=("api.example.com",), paths=("/v1/x",)),
            EgressRule(name="wide", hosts=("**",), paths=("/**",)),
        )
    )
    assert decide(both, facts()).rule.name == "narrow"
    assert decide(both, facts(path="/v2")).rule.name == "wide"


def test_a_refusal_names_the_closest_rule_and_the_smallest_that_would_do() -> None:
    decision = decide(rules(), facts(method="DELETE"))
    assert decision.rule.name == "r"
    smallest = EgressRule.model_validate({"name": "new", **decision.hint})
    assert decide(RuleSet(rules=(smallest,)), facts(method="DELETE")).allowed
    assert not decide(RuleSet(rules=(smallest,)), facts(method="DELETE", path="/v1/y")).allowed


def test_tunnels() -> None:
    assert decide_tunnel(rules(), "api.example.com", 443).allowed
    assert decide_tunnel(rules(), "api.example.com", 80).code == "port"
    assert decide_tunnel(rules(), "other.com", 443).code == "host"


@given(st.text(max_size=60).map(lambda text: "/" + text))
def test_a_normal_path_is_its_own_normal_form(path: str) -> None:
    try:
        normal = normalise_path(path)
    except ValueError:
        return
    assert normalise_path(normal) == normal
    assert normal.startswith("/")
    assert not {".", ".."} & set(normal.split("/"))
    assert "//" not in normal
    assert "\\" not in normal


@given(
    st.lists(st.sampled_from([".", "/", "%2e", "%2E", "%2f", "%5c", "%25", "2e", "a", ";", "%41", "%"]), max_size=12)
)
def test_a_path_that_passes_cannot_be_decoded_into_another_tree(parts: list[str]) -> None:
    """However often a server decodes it, the segments stay where they are."""
    from urllib.parse import unquote  # noqa: PLC0415

    path = "/" + "".join(parts)
    try:
        normal = normalise_path(path)
    except ValueError:
        return
    once = unquote(normal)
    twice = unquote(once)
    for decoded in (once, twice):
        assert decoded.count("/") == normal.count("/")
        assert not {".", ".."} & set(decoded.split("/"))


def test_query_values_are_not_shown() -> None:
    assert parse_target("/a?b=c&d&e=f=g").shown() == "/a?b=*&d=*&e=*"
    assert parse_target("/a?").shown() == "/a?=*"
    assert parse_target("/a").shown() == "/a"


@pytest.mark.parametrize("query", ["/a?b c", "/a?b\x00", "/a?b#c", "/a?é"])
def test_queries_with_raw_characters(query: str) -> None:
    with pytest.raises(ValueError, match="query"):
        parse_target(query)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.com", Authority("a.com", 443)),
        ("A.com:8443", Authority("a.com", 8443)),
        ("[::1]:80", Authority("::1", 80)),
        ("a.com:", None),
        ("a.com:0", None),
        ("a.com:65536", None),
        ("a.com:+80", None),
        ("a.com:٨٠", None),
        ("u@a.com", None),
        ("a.com/x", None),
        ("a.com,b.com", None),
        ("", None),
    ],
)
def test_authorities(text: str, expected: Authority | None) -> None:
    if expected is None:
        with pytest.raises(ValueError):
            parse_authority(text, 443)
    else:
        assert parse_authority(text, 443) == expected


@given(st.text(max_size=60))
def test_an_authority_reads_back(text: str) -> None:
    try:
        authority = parse_authority(text, 443)
    except ValueError:
        return
    assert parse_authority(str(authority), None) == authority
    assert parse_authority(authority.header("https"), 443) == authority


def test_who_disagrees_is_told() -> None:
    agreed, conflict = agree({"CONNECT": Authority("a.com", 443), "Host": Authority("b.com", 443)})
    assert agreed is None
    assert conflict == "CONNECT says a.com:443 and Host says b.com:443"


@given(st.binary(max_size=40), st.binary(max_size=40), st.text(max_size=30))
def test_reading_a_request_never_raises(authority: bytes, host: bytes, target: str) -> None:
    raw = RawRequest(
        method="GET",
        scheme="http",
        target_authority=authority.decode("latin-1"),
        target=target,
        headers=((b"Host", host),),
    )
    assert isinstance(read_request(raw), Denial | CanonicalRequest)


@given(st.ip_addresses(v=4))
def test_forms_of_special_addresses_are_special_too(address) -> None:
    number = int(address)
    forms = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x0064FF9B << 96 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80),
    ]
    assert all(special_kind(form) for form in forms)


@given(st.ip_addresses())
def test_what_is_not_global_is_refused(address) -> None:
    if not address.is_global or address.is_multicast:
        assert refuse_address(str(address), 443, Allowance(), ()) is not None


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("192.0.0.9", "reserved for protocols"),
        ("2001:1::1", "reserved for protocols"),
        ("2001:20::1", "reserved for protocols"),
        ("2001:0:7f00:1::1", "a Teredo address"),
        ("2002:7f00:1::1", "a 6to4 address"),
        ("64:ff9b::7f00:1", "a NAT64 address"),
        ("64:ff9b:1:7f00:1::", "a NAT64 address"),
        ("::ffff:0:7f00:1", "an IPv4-translated address"),
        ("::ffff:127.0.0.1", "a loopback address"),
        ("::ffff:8.8.8.8", "an IPv4-mapped address"),
        ("::127.0.0.1", "an IPv4-compatible address"),
        ("3fff::1", "a documentation address"),
        ("100:0:0:1::1", "a reserved address"),
        ("5f00::1", "a reserved address"),
        ("4000::1", "a reserved address"),
        ("2606:4700::1111", None),
        ("2001:4860:4860::8888", None),
        ("8.8.8.8", None),
    ],
)
def test_kinds_of_addresses(text: str, kind: str | None) -> None:
    assert special_kind(ipaddress.ip_address(text)) == kind


def test_a_named_network_opens_only_itself() -> None:
    allowance = Allowance((ipaddress.ip_network("10.1.0.0/16"),))
    assert refuse_address("10.1.2.3", 80, allowance, ()) is None
    assert refuse_address("10.2.2.3", 80, allowance, ()) is not None
    assert refuse_address("::ffff:10.1.2.3", 80, allowance, ()) is not None
    assert refuse_address("8.8.8.8", 80, allowance, ()) is None


def test_own_ports_win_over_networks() -> None:
    allowance = Allowance((ipaddress.ip_network("127.0.0.0/8"),))
    for address in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "0.0.0.0", "::1", "::"):
        assert "Lockgate itself" in (refuse_address(address, 7700, allowance, {7700}) or "")
