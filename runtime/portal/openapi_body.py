"""The body of an OpenAPI operation: which media type is used, and its bytes."""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote_plus

from runtime.portal.openapi_parameter import STYLES, Parameter, query_pairs, scalar

BodyKind = Literal["json", "form", "multipart", "text", "binary"]

BINARY_SCHEMA: Final[dict[str, Any]] = {
    "description": "Text, or bytes as base64.",
    "anyOf": [
        {"type": "string"},
        {"type": "object", "properties": {"base64": {"type": "string"}}, "required": ["base64"]},
    ],
}
_JSON = re.compile(r"application/(.+\+)?json|.+\+json", re.IGNORECASE)
_RANK: Final[tuple[BodyKind, ...]] = ("json", "form", "multipart", "text", "binary")


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldEncoding:
    """How a document wants one field of a form: as query parameters are, or of a media type (OpenAPI 3.1, 4.8.15)."""

    name: str
    style: str = ""
    explode: bool = True
    allow_reserved: bool = False
    content_type: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """How the `body` argument is sent."""

    kind: BodyKind
    media_type: str
    required: bool
    encoding: tuple[FieldEncoding, ...] = ()


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON (`application/json`, `application/vnd.x+json; v=1`)."""
    return _JSON.fullmatch(media_type.split(";", 1)[0].strip()) is not None


def choose(content: Mapping[str, Any]) -> tuple[str, BodyKind] | None:
    """The media type a request body is sent as, the best understood of those offered. None if there is none."""
    offered = [(media_type, _kind(media_type)) for media_type in content if isinstance(media_type, str)]
    ranked = sorted(offered, key=lambda pair: (_RANK.index(pair[1]), not pair[0].startswith("application/json")))
    return ranked[0] if ranked else None


def encodings(declared: Any) -> tuple[FieldEncoding, ...]:
    """What a media type says of its fields. Raises ValueError for a style or type that cannot be written."""
    found: list[FieldEncoding] = []
    for name, each in declared.items() if isinstance(declared, Mapping) else ():
        if not isinstance(each, Mapping):
            continue
        style = each.get("style", "form" if "explode" in each or "allowReserved" in each else "")
        if style and style not in STYLES["query"]:
            raise ValueError(f'field "{name}" of its body has the style "{style}", which forms do not have')
        # Of several media types the first is meant; a wildcard says nothing.
        first = str(each.get("contentType", "")).split(",")[0].strip()
        if not re.fullmatch(r"[\w.+/;=* \"-]*", first):
            raise ValueError(f'field "{name}" of its body has no plain media type')
        found.append(
            FieldEncoding(
                name=str(name),
                style=str(style),
                explode=each.get("explode", style == "form") is True,
                allow_reserved=each.get("allowReserved") is True,
                content_type="" if "*" in first else first,
            )
        )
    return tuple(found)


def _kind(media_type: str) -> BodyKind:
    plain = media_type.split(";", 1)[0].strip().lower()
    if is_json(plain) or plain in ("*/*", "application/*"):
        return "json"
    if plain == "application/x-www-form-urlencoded":
        return "form"
    if plain == "multipart/form-data":
        return "multipart"
    return "text" if plain.startswith("text/") else "binary"


def encode(body: Body, value: Any) -> tuple[bytes, str]:
    """The bytes and the content type. Raises ValueError for a value the media type cannot carry."""
    if body.kind == "json":
        media_type = body.media_type if is_json(body.media_type) else "application/json"
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"), media_type
    if body.kind == "form":
        return "&".join(f"{name}={text}" for name, text in _fields(value, body)).encode(), body.media_type
    if body.kind == "multipart":
        return _multipart(value, body)
    media_type = body.media_type if "*" not in body.media_type else "application/octet-stream"
    return _bytes(value), f"{media_type}; charset=utf-8" if body.kind == "text" else media_type


def _fields(value: Any, body: Body) -> Iterator[tuple[str, str]]:
    """The pairs of a form, escaped. A field without a style of its own is repeated for each item of an array."""
    if not isinstance(value, dict):
        raise ValueError("a form is an object")  # noqa: TRY004 - told to the program as it is
    wanted = {each.name: each for each in body.encoding if each.style}
    for name, member in value.items():
        if name not in wanted:
            yield from ((quote_plus(name), quote_plus(scalar(each))) for each in _each(member))
        elif member is not None:
            yield from query_pairs(_as_parameter(wanted[name]), member)


def _as_parameter(field: FieldEncoding) -> Parameter:
    return Parameter(
        wire=field.name,
        argument=field.name,
        location="query",
        style=field.style,
        explode=field.explode,
        allow_reserved=field.allow_reserved,
    )


def _multipart(value: Any, body: Body) -> tuple[bytes, str]:
    if not isinstance(value, dict):
        raise ValueError("a form is an object")  # noqa: TRY004 - told to the program as it is
    types = {each.name: each.content_type for each in body.encoding}
    boundary = f"lockgate-{secrets.token_hex(16)}"
    parts = [_part(boundary, key, each, types.get(key, "")) for key, member in value.items() for each in _each(member)]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _each(member: Any) -> list[Any]:
    return [each for each in (member if isinstance(member, list) else [member]) if each is not None]


def _part(boundary: str, name: str, value: Any, content_type: str) -> bytes:
    # RFC 7578, 4.2, with the escapes of the WHATWG's multipart encoding.
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        head += f'; filename="{_quoted(str(value.get("filename", "file")))}"'
        head += f"\r\nContent-Type: {content_type or 'application/octet-stream'}"
        return f"{head}\r\n\r\n".encode() + _bytes(value) + b"\r\n"
    if content_type or isinstance(value, dict | list):
        head += f"\r\nContent-Type: {content_type or 'application/json'}"
    return f"{head}\r\n\r\n{scalar(value)}\r\n".encode("utf-8", "replace")


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error:
            raise ValueError("base64 is not valid") from None
    return scalar(value).encode("utf-8", "replace")
