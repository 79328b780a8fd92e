"""Takes secrets out of what is shown to people: by the name they stand under, and by their form.

What is removed says how long it was. Nothing else is left out or cut, and only text is removed: who decides over a call
has to see the rest of it.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any, Final, get_args

from .dlp import Known
from .known_data import KNOWN
from .text_pattern import compiled

_NAME: Final = re.compile(
    r"(?:^|_)(?:pass(?:word|wd|phrase|code)|pwd|secret|token|api_?key|access_?key|private_?key|secret_?key|"
    r"authorization|credential|cookie|otp|pin|cvv|cvc)s?$"
)
_HARMLESS: Final = re.compile(r"(?:page|next|sync|continuation|cursor|max|stop|sort)_tokens?$")
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_PERSONAL: Final = frozenset({"card-number", "iban", "email-address"})
_LITERAL: Final = re.compile(
    r"""(?P<head>\b(?P<name>[A-Za-z_][\w-]{0,80})["'`]?\s{0,8}(?::|=(?!=))\s{0,8})(?P<quote>["'`])"""
    r"""(?P<text>(?:(?!(?P=quote))[^\\]|\\.){0,2000})(?P=quote)"""
)
_HEADERS: Final = frozenset({"authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token"})
_BEARER: Final = r"(?i)\b(?:bearer|basic) [A-Za-z0-9._~+/=-]{12,}"


def masked(value: Any) -> Any:
    """JSON without secrets: text under names of secrets, and secrets known by their form anywhere."""
    if isinstance(value, str):
        return masked_text(value)
    if isinstance(value, list | tuple):
        return [masked(each) for each in value]
    if isinstance(value, dict):
        return {key: _hidden(each) if is_secret_name(key) else masked(each) for key, each in value.items()}
    return value


def masked_text(text: str) -> str:
    """A text in which what has the form of a secret is replaced by its kind."""
    try:
        for kind, pattern in _patterns():
            text = pattern.sub(f"[removed: {kind}]", text)
    except UnicodeEncodeError:
        return _removed(text)
    return text


def masked_code(line: str) -> str:
    """A line of a program; a quoted text after a name of a secret and `:` or `=` is removed, too."""
    return masked_text(_LITERAL.sub(_masked_literal, line))


def _masked_literal(match: re.Match[str]) -> str:
    if not is_secret_name(match["name"]):
        return match[0]
    return f"{match['head']}{match['quote']}{_removed(match['text'])}{match['quote']}"


def masked_url(url: str) -> str:
    """A URL whose query parameters with names of secrets are empty."""
    head, mark, query = url.partition("?")
    fields = (_masked_field(field) for field in query.split("&"))
    return masked_text(head) + mark + "&".join(fields)


def masked_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Headers without credentials."""
    return tuple(
        (name, _removed(value) if name.lower() in _HEADERS or is_secret_name(name) else masked_text(value))
        for name, value in headers
    )


def masked_body(body: str) -> str:
    """A body; JSON is read as such, everything else is text, or a form where it looks like one."""
    try:
        return json.dumps(masked(json.loads(body)), ensure_ascii=False)
    except (ValueError, RecursionError):
        pass
    if "=" in body and "\n" not in body and " " not in body:
        return "&".join(_masked_field(field) for field in body.split("&"))
    return masked_text(body)


def is_secret_name(name: str) -> bool:
    """Whether what stands under a name is a secret by that name."""
    words = _CAMEL.sub("_", name).lower().replace("-", "_").replace(".", "_").replace(" ", "_")
    return _NAME.search(words) is not None and _HARMLESS.search(words) is None


def _hidden(value: Any) -> Any:
    if isinstance(value, str):
        return _removed(value)
    if isinstance(value, list | tuple):
        return [_hidden(each) for each in value]
    return masked(value)


def _removed(text: str) -> str:
    return f"[removed: {len(text)} characters]"


def _masked_field(field: str) -> str:
    name, equals, value = field.partition("=")
    return name + equals + (_removed(value) if value and is_secret_name(name) else masked_text(value))


@cache
def _patterns() -> tuple[tuple[str, Any], ...]:
    kinds = [kind for kind in get_args(Known) if kind not in _PERSONAL]
    return (*((kind, compiled(KNOWN[kind])) for kind in kinds), ("credential", compiled(_BEARER)))
