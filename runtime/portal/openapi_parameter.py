"""One OpenAPI parameter and how its value is written (OpenAPI 3.1, 4.8.12.4 "Style Examples")."""

import json
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote

Location = Literal["path", "query", "header", "cookie"]

STYLES: Final[dict[str, tuple[str, ...]]] = {
    "path": ("simple", "label", "matrix"),
    "query": ("form", "spaceDelimited", "pipeDelimited", "deepObject"),
    "header": ("simple",),
    "cookie": ("form",),
}
_RESERVED: Final = ":/?#[]@!$&'()*+,;="
_DELIMITERS: Final = {"form": ",", "spaceDelimited": "%20", "pipeDelimited": "%7C"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Parameter:
    """`wire` is the name in the document, `argument` the one programs use.

    `as_json`: declared by `content`, so written as JSON. `many_segments`: a path parameter whose slashes stay
    (`x-multi-segment` in GitHub's document).
    """

    wire: str
    argument: str
    location: Location
    style: str
    explode: bool
    required: bool = False
    allow_reserved: bool = False
    as_json: bool = False
    many_segments: bool = False


def path_text(parameter: Parameter, value: Any) -> str:
    """What replaces `{name}` in the path. Every character with a meaning of its own is escaped."""
    if parameter.as_json:
        return quote(_json(value), safe="")
    if parameter.many_segments and isinstance(value, str):
        return quote(value, safe="/")
    pairs = _pairs(value)
    if parameter.style == "label":
        return "." + _joined(pairs, value, explode=parameter.explode, separator="." if parameter.explode else ",")
    if parameter.style == "matrix":
        return _matrix(parameter, pairs, value)
    return _joined(pairs, value, explode=parameter.explode, separator=",")


def query_pairs(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    """The `name=value` pairs of a query parameter, both sides already escaped."""
    safe = _RESERVED.translate({ord(c): None for c in "#&=+"}) if parameter.allow_reserved else ""
    name = quote(parameter.wire, safe="[]")
    if parameter.as_json:
        return [(name, quote(_json(value), safe=safe))]
    if parameter.style == "deepObject" and isinstance(value, dict | list):
        return list(_deep(name, value, safe))
    if isinstance(value, dict) and parameter.explode:
        return [(quote(str(key), safe=""), _text(member, safe)) for key, member in value.items()]
    if isinstance(value, list) and parameter.explode:
        return [(name, _text(member, safe)) for member in value]
    if isinstance(value, list | dict):
        delimiter = _DELIMITERS.get(parameter.style, ",")
        return [(name, delimiter.join(_text(each, safe) for each in _flat(value)))]
    return [(name, _text(value, safe))]


def header_text(parameter: Parameter, value: Any) -> str:
    """The value of a header parameter. Raises ValueError for what a header cannot carry."""
    text = _json(value) if parameter.as_json else _plain(value, parameter.explode)
    if any(ord(c) < 32 or ord(c) > 255 or ord(c) == 127 for c in text):  # noqa: PLR2004 - RFC 9110, 5.5
        raise ValueError("a header holds one line of Latin-1 text")
    return text


def cookie_text(parameter: Parameter, value: Any) -> str:
    """`name=value` of a cookie parameter."""
    text = _json(value) if parameter.as_json else _plain(value, explode=False)
    return f"{quote(parameter.wire, safe='')}={quote(text, safe=',')}"


def scalar(value: Any) -> str:
    """A single value as text: `true`, `5`, `open`; an object or array as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _json(value)


def _text(value: Any, safe: str = "") -> str:
    return quote(scalar(value), safe=safe)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _pairs(value: Any) -> list[tuple[str, Any]]:
    return list(value.items()) if isinstance(value, dict) else []


def _flat(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [each for pair in value.items() for each in pair]
    return value if isinstance(value, list) else [value]


def _joined(pairs: list[tuple[str, Any]], value: Any, *, explode: bool, separator: str) -> str:
    if pairs and explode:
        return separator.join(f"{_text(key)}={_text(member)}" for key, member in pairs)
    return separator.join(_text(each) for each in _flat(value))


def _matrix(parameter: Parameter, pairs: list[tuple[str, Any]], value: Any) -> str:
    name = quote(parameter.wire, safe="")
    if pairs and parameter.explode:
        return "".join(f";{_text(key)}={_text(member)}" for key, member in pairs)
    if isinstance(value, list) and parameter.explode:
        return "".join(f";{name}={_text(member)}" for member in value)
    return f";{name}={','.join(_text(each) for each in _flat(value))}"


def _deep(name: str, value: Any, safe: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        named = [(f"{name}[{quote(str(key), safe='')}]", each) for key, each in value.items()]
        return [pair for key, each in named for pair in _deep(key, each, safe)]
    if isinstance(value, list):
        return [pair for each in value for pair in _deep(f"{name}[]", each, safe)]
    return [(name, _text(value, safe))]


def _plain(value: Any, explode: bool) -> str:  # noqa: FBT001 - the document's own flag
    if isinstance(value, dict) and explode:
        return ",".join(f"{key}={scalar(member)}" for key, member in value.items())
    return ",".join(scalar(each) for each in _flat(value))
