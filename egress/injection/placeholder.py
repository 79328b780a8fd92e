"""A word that stands for a secret: replaced where its rule allows, recognised and refused everywhere else."""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote_plus, unquote_to_bytes

from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.injection import PlaceholderInjection

from .json_field import is_json
from .path import path_text
from .query import quoted
from .value import NotInjectableError, text_value, wire_value

_BASIC = re.compile(rb"(basic[ ]+)([A-Za-z0-9+/]+={0,2})[ ]*", re.IGNORECASE)
_FORM = re.compile(rb"application/x-www-form-urlencoded[ \t]*(?:;.*)?", re.IGNORECASE)
_MARKUP = re.compile(r"[\"'<>&\\`]")


def inject(injection: PlaceholderInjection, secret: Secret, request: Outgoing) -> Outgoing:
    """The request with the secret for each placeholder in the rule's places. Elsewhere, or respelt, it is refused."""
    word = injection.text.encode()
    done = request
    if "header" in injection.places:
        done = replace(done, headers=tuple((n, _in_header(v, word, wire_value(secret))) for n, v in done.headers))
    if "query" in injection.places and done.query is not None:
        done = replace(done, query=done.query.replace(injection.text, quoted(wire_value(secret)).decode()))
    if "path" in injection.places and injection.text in done.path:
        done = replace(done, path=done.path.replace(injection.text, path_text(wire_value(secret))))
    if "body" in injection.places and word in done.body:
        done = replace(done, body=_in_body(done, injection.text, secret))
    left = found_in_head([injection.text], done) or found_in_body([injection.text], done.body)
    if left:
        raise NotInjectableError(
            f"has a placeholder that this rule replaces in {', '.join(injection.places)} as it is written; "
            f"it was found in {left}, or in another spelling",
            code="placeholder",
        )
    return done


def holds(words: Iterable[str], value: bytes) -> bool:
    """Whether a header's value has one of the placeholders as it is written, in Basic too."""
    said = opened(value)
    return any(word.encode() in said for word in words)


def needs_body(injection: PlaceholderInjection, request: Outgoing) -> bool:
    """Whether the body is one of its places, and there is one."""
    return "body" in injection.places and has_body(request.headers)


def has_body(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a head may be followed by a body; over HTTP/2 none of these is needed, so none means perhaps."""
    said = {name.lower(): value.strip() for name, value in headers}
    return b"transfer-encoding" in said or said.get(b"content-length", b"1") != b"0"


def found_in_head(words: Iterable[str], request: Outgoing) -> str | None:
    """Where in a request's head one of the placeholders stands, in any case, percent-encoded or in Basic."""
    pattern = _pattern(tuple(words))
    if pattern.search(unquote_to_bytes(request.path)):
        return "the path"
    if request.query is not None and pattern.search(unquote_to_bytes(request.query)):
        return "the query"
    for name, value in request.headers:
        if pattern.search(name) or pattern.search(opened(value)) or pattern.search(unquote_to_bytes(value)):
            return (
                f"the header {name.decode('latin-1').lower()[:60]}" if not pattern.search(name) else "a header's name"
            )
    return None


def found_in_body(words: Iterable[str], body: bytes) -> str | None:
    """Whether one of the placeholders stands in the body, in any case or percent-encoded."""
    pattern = _pattern(tuple(words))
    return "the body" if pattern.search(body) or (b"%" in body and pattern.search(unquote_to_bytes(body))) else None


@lru_cache(64)
def _pattern(words: tuple[str, ...]) -> re.Pattern[bytes]:
    return re.compile(b"|".join(re.escape(word.encode()) for word in words), re.IGNORECASE)


def opened(value: bytes) -> bytes:
    """A header's value, and behind it what its Basic credentials say."""
    match = _BASIC.fullmatch(value.strip())
    if match is None:
        return value
    try:
        return value + b"\n" + base64.b64decode(match[2] + b"=" * (-len(match[2]) % 4))
    except binascii.Error:
        return value


def _in_header(value: bytes, word: bytes, secret: bytes) -> bytes:
    match = _BASIC.fullmatch(value.strip())
    if match is not None:
        said = opened(value).partition(b"\n")[2]
        if word in said:
            return match[1] + base64.b64encode(said.replace(word, secret))
    return value.replace(word, secret)


def _in_body(request: Outgoing, text: str, secret: Secret) -> bytes:
    """Escaped as the body's type wants it; where it has no escapes, only a value that needs none."""
    value = text_value(secret)
    if is_json(request.headers):
        value = json.dumps(value)[1:-1]
    elif _is_form(request.headers):
        value = quote_plus(value)
    elif _MARKUP.search(value):
        raise NotInjectableError("has characters that this content-type may read as markup; send JSON or a form")
    return request.body.replace(text.encode(), value.encode())


def _is_form(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    said = [value.strip() for name, value in headers if name.lower() == b"content-type"]
    return len(said) == 1 and _FORM.fullmatch(said[0]) is not None
