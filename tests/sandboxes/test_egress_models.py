import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sandboxes.dlp import DlpRule
from sandboxes.egress import EgressSettings
from sandboxes.egress_rule import EgressRule
from sandboxes.hostname import canonical_host, is_address
from sandboxes.injection import Injection
from sandboxes.rule_set import RuleSet, rules_for_base_url
from sandboxes.secret_source import SecretSource

INJECTION = TypeAdapter(Injection)
RULE = {"name": "r", "hosts": ["api.example.com"], "paths": ["/**"]}


def rule(**fields: object) -> EgressRule:
    return EgressRule.model_validate({**RULE, **fields})


def test_what_is_left_out_is_the_narrowest() -> None:
    made = rule()
    assert (made.schemes, made.methods, made.ports, made.networks, made.inject) == (
        ("https",),
        ("GET", "HEAD"),
        (),
        (),
        None,
    )
    assert made.allows_port("https", 443)
    assert not made.allows_port("https", 8443)
    assert not made.allows_port("http", 443)


@pytest.mark.parametrize("missing", ["name", "hosts", "paths"])
def test_what_a_guess_would_widen_must_be_written(missing: str) -> None:
    with pytest.raises(ValidationError, match=missing):
        EgressRule.model_validate({key: value for key, value in RULE.items() if key != missing})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"hosts": []}, "at least 1 item", id="no hosts"),
        pytest.param({"hosts": ["*"]}, 'write "**" for every name', id="star host"),
        pytest.param({"hosts": ["https://api.example.com/x"]}, "write only the host here", id="URL as host"),
        pytest.param({"hosts": ["api.example.com:8443"]}, "write the port in ports", id="port in host"),
        pytest.param({"hosts": ["api.*.com"]}, "a wildcard is a whole first label", id="inner wildcard"),
        pytest.param({"hosts": ["api.example.com."]}, 'without the trailing dot: "api.example.com"', id="trailing dot"),
        pytest.param({"hosts": ["127.1"]}, "plain dotted-decimal", id="short IPv4"),
        pytest.param({"hosts": ["*.10.0.0.1"]}, "an address has no subdomains", id="wildcard address"),
        pytest.param({"paths": ["v1/**"]}, 'write "/v1/**"', id="relative path"),
        pytest.param({"paths": ["/v1/*/**/x"]}, '"**" is only the last segment', id="inner double star"),
        pytest.param({"paths": ["/v1/foo*"]}, 'write "*" instead of "foo*"', id="partial wildcard"),
        pytest.param({"paths": ["/a/../b"]}, 'without ".."', id="dot segments"),
        pytest.param({"paths": ["/a?x=1"]}, 'write "/a"', id="query in path"),
        pytest.param({"paths": ["/a%2fb"]}, "upper-case hexadecimal", id="lower-case escape"),
        pytest.param({"paths": ["/a%2Fb"]}, "percent-encode", id="encoded slash"),
        pytest.param({"methods": ["get"]}, 'like "GET"', id="lower-case method"),
        pytest.param({"methods": ["CONNECT"]}, "never a rule's method", id="CONNECT"),
        pytest.param({"ports": [0]}, "greater than or equal to 1", id="port 0"),
        pytest.param(
            {"networks": ["10.0.0.1/8"]}, 'write "10.0.0.0/8" for the network or "10.0.0.1/32"', id="host bits"
        ),
        pytest.param({"networks": ["localnet"]}, 'like "10.1.0.0/16"', id="no network"),
        pytest.param({"schemes": ["ftp"]}, "'http' or 'https'", id="scheme"),
        pytest.param({"host": ["x"]}, "Extra inputs are not permitted", id="unknown field"),
        pytest.param(
            {"schemes": ["http"], "inject": {"secret": "s", "as": "bearer"}},
            "write schemes: [https]",
            id="secret in clear",
        ),
        pytest.param({"inject": {"secret": "s", "as": "header"}}, "inject.one.header.name", id="header without name"),
        pytest.param({"inject": {"secret": "s", "as": "query"}}, "inject.one.query.name", id="query without"),
        pytest.param(
            {"inject": {"secret": "s", "as": "bearer", "name": "X"}}, "inject.one.bearer.name", id="bearer with name"
        ),
        pytest.param(
            {"inject": {"secret": "s", "as": "header", "name": "Host"}}, "belongs to the connection", id="Host"
        ),
        pytest.param({"inject": {"secret": "s", "as": "header", "name": "a b"}}, "not a header name", id="bad header"),
        pytest.param({"inject": {"secret": "S T", "as": "bearer"}}, "String should match", id="secret name"),
    ],
)
def test_messages_say_what_to_write_instead(fields: dict, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        rule(**fields)
    assert message in str(caught.value)


def test_models_are_frozen() -> None:
    with pytest.raises(ValidationError):
        rule().name = "other"  # type: ignore[misc]


def test_a_digest_depends_on_content_only_and_survives_json() -> None:
    rules = RuleSet(rules=(rule(inject={"secret": "s", "as": "bearer"}),))
    again = RuleSet.model_validate(json.loads(rules.model_dump_json(by_alias=True)))
    assert again == rules
    assert again.digest() == rules.digest()
    assert rules.digest().startswith("sha256:")
    assert RuleSet(rules=(rule(methods=["GET"]),)).digest() != RuleSet(rules=(rule(),)).digest()


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two rules are called r"):
        RuleSet(rules=(rule(), rule()))


def test_redacted_credentials() -> None:
    shown = [
        INJECTION.validate_python({"secret": "s", "as": "bearer"}).redacted(),
        INJECTION.validate_python({"secret": "s", "as": "basic"}).redacted(),
        INJECTION.validate_python({"secret": "s", "as": "header", "name": "X-Key"}).redacted(),
        INJECTION.validate_python({"secret": "s", "as": "query", "name": "key"}).redacted(),
    ]
    assert shown == [
        "s -> authorization: Bearer ***",
        "s -> authorization: Basic ***",
        "s -> x-key: ***",
        "s -> ?key=***",
    ]


def test_the_rules_of_an_upstream() -> None:
    rules = rules_for_base_url("ledger", "https://api.example.com/v1/")
    (made,) = rules.rules
    assert (made.hosts, made.ports, made.schemes) == (("api.example.com",), (443,), ("https",))
    assert (made.methods, made.paths) == (("*",), ("/v1/**", "/v1"))


@pytest.mark.parametrize("url", ["api.example.com", "ftp://x", "https://u:p@x/", "https:///x"])
def test_base_urls_that_are_none(url: str) -> None:
    with pytest.raises(ValueError, match="is not a base URL"):
        rules_for_base_url("x", url)


@pytest.mark.parametrize("source", [{}, {"env": "A", "file": "/b"}])
def test_a_secret_comes_from_one_place(source: dict) -> None:
    with pytest.raises(ValidationError, match="exactly one place"):
        SecretSource.model_validate(source)


def test_settings_check_digests_and_never_print_the_key() -> None:
    key = "a2V5" * 12
    base = {"token_key": key, "state_dir": "/s", "event_file": None, "rule_sets": {}}
    assert key not in repr(EgressSettings.model_validate(base))
    with pytest.raises(ValidationError, match="has the digest") as caught:
        EgressSettings.model_validate({**base, "rule_sets": {"sha256:0": {"rules": []}}})
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Example.COM", "example.com"),
        ("localhost", "localhost"),
        ("straße.de", "xn--strae-oqa.de"),
        ("xn--strae-oqa.de", "xn--strae-oqa.de"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]", "::1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("a_b.example.com", "a_b.example.com"),
        ("3com.com", "3com.com"),
    ],
)
def test_hosts_have_one_spelling(text: str, host: str) -> None:
    assert canonical_host(text) == host


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "a..b", ".a", "a.", "-a.b", "a-.b", "a b", "a\x00b", "[a]", "[::1", "[127.0.0.1]", "::1",
        "[fe80::1%lo]", "0x7f.1", "1", "127.1", "0177.0.0.1", "1.2.3.256", "1.2.3.4.5", "xn--a", "xn--",
        "Straße.de", "\uff41.de", "a\u3002b",
        "a" * 64, ".".join(["a" * 60] * 5), "a/b", "a%62", "a@b", "*.a",
    ],
)  # fmt: skip
def test_hosts_that_are_none(text: str) -> None:
    with pytest.raises(ValueError):
        canonical_host(text)


@given(st.text(max_size=80))
def test_a_canonical_host_is_its_own_canonical_spelling(text: str) -> None:
    try:
        host = canonical_host(text)
    except ValueError:
        return
    assert canonical_host(f"[{host}]" if ":" in host else host) == host
    assert host.isascii()
    assert host == host.lower()
    assert not set(host) & set(" /\\?#@[]%\x00")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_never_taken_for_a_name(address) -> None:
    assert canonical_host(str(address)) == str(address)
    assert is_address(str(address))
    with pytest.raises(ValueError):
        canonical_host(str(int(address)))
    with pytest.raises(ValueError):
        canonical_host(hex(int(address)))


def test_mode_report_is_for_production_only_if_written_out() -> None:
    silent = RuleSet.model_validate({"mode": "report"})
    assert [silent.reports_in(place) for place in ("dev", "stage", "prod", "service")] == [True, True, False, False]
    assert RuleSet.model_validate({"mode": "report", "report_in": ["prod"]}).reports_in("prod")
    assert not RuleSet.model_validate({"report_in": ["prod"]}).reports_in("prod")
    with pytest.raises(ValidationError, match="at least 1 item"):
        RuleSet.model_validate({"mode": "report", "report_in": []})


def test_a_set_in_force_keeps_its_outgoing_data_rules() -> None:
    """Those it began with and those that came since: neither is lost by a reload."""
    cards = {"name": "cards", "find": ["card-number"], "exempt": ["r", "gone"]}
    keys = {"name": "cards", "find": ["private-key"]}
    gone = {**RULE, "name": "gone"}
    old = RuleSet.model_validate({"rules": [RULE, gone], "dlp": [cards]})
    assert old.standing([old]) == old
    assert old.standing([]).dlp[0].exempt == ()
    both = old.standing([RuleSet.model_validate({"rules": [RULE], "dlp": [keys]})])
    assert [(one.name, one.find, one.exempt) for one in both.dlp] == [
        ("cards", ("card-number",), ("r",)),
        ("cards.2", ("private-key",), ()),
    ]


def test_an_older_set_keeps_mode_report_only_where_the_present_one_has_it() -> None:
    old = RuleSet.model_validate({"mode": "report", "report_in": ["dev", "stage"], "rules": [rule()]})
    assert old.standing([old]) == old
    assert not old.standing([RuleSet(rules=(rule(),))]).reports_in("dev")
    narrower = old.standing([RuleSet.model_validate({"mode": "report", "report_in": ["stage", "prod"]})])
    assert [narrower.reports_in(place) for place in ("dev", "stage", "prod")] == [False, True, False]
    assert narrower.rules == ()
    enforcing = RuleSet(rules=(rule(),))
    assert not enforcing.standing([old]).reports_in("dev")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "x"}, "needs either find or pattern"),
        ({"name": "x", "find": ["jwt"], "pattern": "a"}, "needs either find or pattern"),
        ({"name": "x", "pattern": "a*"}, "matches empty text"),
        ({"name": "x", "pattern": "(a"}, "is not an RE2 pattern"),
        ({"name": "x", "pattern": "(?=a)"}, "is not an RE2 pattern"),
        ({"name": "x", "pattern": "(a{1000}){1000}"}, "is not an RE2 pattern"),
        ({"name": "x", "pattern": "a" * 1001}, "1000"),
        ({"name": "x", "find": ["passwords"]}, "private-key"),
        ({"name": "x", "find": ["jwt"], "parts": []}, "at least 1"),
    ],
)
def test_an_outgoing_data_rule_that_cannot_hold_is_refused(fields: dict, said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        DlpRule.model_validate(fields)


def test_outgoing_data_rules_have_names_of_their_own_and_exempt_rules_that_exist() -> None:
    rule = {"name": "x", "find": ["jwt"]}
    with pytest.raises(ValidationError, match="two outgoing data rules are called x"):
        RuleSet.model_validate({"dlp": [rule, rule]})
    with pytest.raises(ValidationError, match="exempt names gone, and no egress rule is called that"):
        RuleSet.model_validate({"dlp": [{**rule, "exempt": ["gone"]}]})
