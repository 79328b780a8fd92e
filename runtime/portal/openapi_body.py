"""The body of an OpenAPI operation: which media type is used, and its bytes."""

import base64
import binascii
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import quote_plus

from runtime.portal.openapi_parameter import scalar

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
class Body:
    """How the `body` argument is sent."""

    kind: BodyKind
    media_type: str
    required: bool


def is_json(media_type: str) -> bool:
    """Whether a media type is JSON (`application/json`, `application/vnd.x+json; v=1`)."""
    return _JSON.fullmatch(media_type.split(";", 1)[0].strip()) is not None


def choose(content: Mapping[str, Any]) -> tuple[str, BodyKind] | None:
    """The media type a request body is sent as, the best understood of those offered. None if there is none."""
    offered = [(media_type, _kind(media_type)) for media_type in content if isinstance(media_type, str)]
    ranked = sorted(offered, key=lambda pair: (_RANK.index(pair[1]), not pair[0].startswith("application/json")))
    return ranked[0] if ranked else None


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
        pairs = [f"{quote_plus(key)}={quote_plus(text)}" for key, text in _fields(value)]
        return "&".join(pairs).encode(), body.media_type
    if body.kind == "multipart":
        return _multipart(value)
    media_type = body.media_type if "*" not in body.media_type else "application/octet-stream"
    return _bytes(value), f"{media_type}; charset=utf-8" if body.kind == "text" else media_type


def _fields(value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        raise ValueError("a form is an object")  # noqa: TRY004 - told to the program as it is
    return [(key, scalar(each)) for key, member in value.items() for each in _each(member)]


def _multipart(value: Any) -> tuple[bytes, str]:
    if not isinstance(value, dict):
        raise ValueError("a form is an object")  # noqa: TRY004 - told to the program as it is
    boundary = f"lockgate-{secrets.token_hex(16)}"
    parts = [_part(boundary, key, each) for key, member in value.items() for each in _each(member)]
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _each(member: Any) -> list[Any]:
    return [each for each in (member if isinstance(member, list) else [member]) if each is not None]


def _part(boundary: str, name: str, value: Any) -> bytes:
    # RFC 7578, 4.2, with the escapes of the WHATWG's multipart encoding.
    safe = name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="{safe}"'
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        filename = str(value.get("filename", "file")).replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        head += f'; filename="{filename}"\r\nContent-Type: application/octet-stream'
        return f"{head}\r\n\r\n".encode() + _bytes(value) + b"\r\n"
    if isinstance(value, dict | list):
        head += "\r\nContent-Type: application/json"
    return f"{head}\r\n\r\n{scalar(value)}\r\n".encode("utf-8", "replace")


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict) and isinstance(value.get("base64"), str):
        try:
            return base64.b64decode(value["base64"], validate=True)
        except binascii.Error:
            raise ValueError("base64 is not valid") from None
    return scalar(value).encode("utf-8", "replace")
