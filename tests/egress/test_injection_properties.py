"""Properties of the forms that read or search what programs write."""

import json
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from egress.injection import NotInjectableError, found_in_body, inject, without_credentials
from egress.injection.others import is_credential_header
from egress.outgoing import Outgoing
from egress.placeholder_watch import PlaceholderWatch
from egress.secrets import Secret
from sandboxes.authority import Authority
from sandboxes.injection import Injection

WORDS = ("LOCKGATE_LEDGER_KEY", "LOCKGATE_LEDGER_KEY_2", "AAAABAAAABAAAAC")
INJECTIONS = TypeAdapter(Injection)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)


def outgoing(**more: Any) -> Outgoing:
    base = {"method": "POST", "scheme": "https", "authority": Authority("a.test", 443), "path": "/", "query": None}
    return Outgoing(**{**base, "headers": ((b"content-type", b"application/json"),), "body": b"", **more})


@given(
    st.dictionaries(st.text(max_size=4), JSON, max_size=4),
    st.lists(st.text(max_size=4), min_size=1, max_size=3),
    st.text(min_size=1, max_size=12).filter(lambda value: not any(ord(c) < 32 or ord(c) == 127 for c in value)),
    st.booleans(),
)
def test_a_json_field_is_set_and_nothing_else_changes(
    document: dict, names: list[str], value: str, spaced: bool
) -> None:
    pointer = "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
    text = json.dumps(document, ensure_ascii=spaced, indent=2 if spaced else None)
    form = INJECTIONS.validate_python({"secret": "s", "as": "json", "pointer": pointer})
    try:
        body = inject([(form, Secret("s", value.encode("utf-8", "surrogatepass")))], outgoing(body=text.encode())).body
    except (NotInjectableError, UnicodeEncodeError):
        return
    assert json.loads(body) == expected(document, names, value)


def expected(document: Any, names: list[str], value: str) -> Any:
    """The document with the value at the pointer, by way of Python objects."""
    if not names:
        return value
    name, *rest = names
    if isinstance(document, list):
        return [expected(item, rest, value) if str(n) == name else item for n, item in enumerate(document)]
    return {**document, name: expected(document.get(name, {}), rest, value)}


@given(
    st.lists(
        st.sampled_from([
            *WORDS, "LOCKGATE_", "ledger_key", "A", "AAAAB", "x", "\n", "%",
            *("".join(f"%{ord(letter):02x}" for letter in word) for word in WORDS),
            "%4cOCKGATE_", "lockgate%5F", "%4", "%4C",
        ]),
        max_size=12,
    ),
    st.data(),
)  # fmt: skip
def test_a_watch_finds_what_a_search_of_the_whole_finds(parts: list[str], data: st.DataObject) -> None:
    body = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    watch = PlaceholderWatch(WORDS)
    passed = b"".join(watch.feed(body[a:b]) for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if a < b)
    passed += watch.feed(b"")
    said = [text.lower() for text in (body, unquote_to_bytes(body))]
    there = any(word.lower().encode() in text for word in WORDS for text in said)
    # With a "%" before hexadecimal digits a reader may see it begin in two places: either counts.
    assert watch.found or not there
    assert there or not watch.found or b"%" in body
    assert body.startswith(passed)
    assert watch.found or passed == body
    assert found_in_body(WORDS, passed.replace(b"%", b"")) is None


@given(st.binary(max_size=60), st.sampled_from(["bearer", "header", "query", "path", "cookie", "basic", "placeholder"]))
def test_no_value_adds_a_line_or_a_field(value: bytes, kind: str) -> None:
    more = {
        "header": {"name": "x-key"}, "query": {"name": "k"}, "path": {"position": 1}, "cookie": {"name": "c"},
        "basic": {"username": "u"}, "placeholder": {"text": WORDS[0], "places": ["header", "query", "path"]},
    }.get(kind, {})  # fmt: skip
    form = INJECTIONS.validate_python({"secret": "s", "as": kind, **more})
    asked = outgoing(path=f"/{WORDS[0]}", query=f"a={WORDS[0]}", headers=((b"x-given", WORDS[0].encode()),))
    if kind != "placeholder":
        asked = outgoing(path="/p", query="a=1", headers=())
    try:
        made = inject([(form, Secret("s", value))], asked)
    except NotInjectableError:
        return
    assert not any(byte in text for byte in b"\r\n\0" for pair in made.headers for text in pair)
    assert all(33 <= ord(character) < 127 for character in made.target)
    assert made.path.count("/") == (2 if kind == "path" else 1)
    assert (made.query or "").count("&") == (1 if kind == "query" else 0)
    assert len(made.headers) <= 1


@pytest.mark.parametrize(
    "name",
    [
        "Authorization", "PROXY-AUTHORIZATION", "cookie", "Cookie2", "X-Api-Key", "x_api_key", "API-KEY", "apikey",
        "X-Access-Token", "X-Auth", "x-auth-key", "X-Auth-Email", "Private-Token", "Job-Token", "X-Goog-Api-Key",
        "X-Amz-Security-Token", "X-Shopify-Access-Token", "X-Figma-Token", "DD-API-KEY", "DD-APPLICATION-KEY",
        "CF-Access-Client-Id", "CF-Access-Client-Secret", "X-Session-Id", "X-Client-Secret", "X-Hub-Signature",
        "X-Vault-Token", "Ocp-Apim-Subscription-Key", "x-functions-key", "X-Password", "X-CSRF-Token", "Token",
    ],
)  # fmt: skip
def test_names_that_credentials_have(name: str) -> None:
    assert is_credential_header(name.encode())


@pytest.mark.parametrize(
    "name",
    [
        "Accept", "Content-Type", "User-Agent", "Idempotency-Key", "X-Request-Id", "X-Continuation-Token", "If-Match",
        "X-Next-Token", "Range", "X-Amz-Target", "Sec-WebSocket-Key", "X-Tokens-Used", "Keyword", "X-Monkey", "Author",
    ],
)  # fmt: skip
def test_names_that_only_look_like_it(name: str) -> None:
    assert not is_credential_header(name.encode())


def test_a_query_without_credentials_stays_as_it_was() -> None:
    query = "q=a;b&x=%20&&y"
    assert without_credentials(outgoing(query=query)).query == query
