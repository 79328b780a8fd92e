"""Signatures of webhooks as Standard Webhooks 1.0.0 has them (symmetric, `v1`), out and in.

A message has an id, the same for every delivery of it, and a time. The signature is HMAC-SHA256 over
`id.timestamp.body`. Security boundary.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PREFIX: Final = "whsec_"
KEY_BYTES: Final = 32
"""Of keys that are made here."""
LEAST_KEY_BYTES: Final = 24
TOLERANCE_S: Final = 300
MOST_ID: Final = 200
_MOST_SIGNATURES: Final = 10
ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"


@dataclass(frozen=True, kw_only=True, slots=True)
class Genuine:
    """A message signed with our key, and recently. Its id must not be accepted twice."""

    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class NotGenuine:
    """Why a message is not taken. Says nothing of the key nor of what the signature should be."""

    reason: str


def key_of(text: str) -> bytes:
    """The key in `whsec_` and base64. Raises ValueError."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(PREFIX) or len(key) < LEAST_KEY_BYTES:
        raise ValueError(f"expected {PREFIX} and base64 of at least {LEAST_KEY_BYTES} bytes")
    return key


def signed_headers(key: bytes, message_id: str, now_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a message."""
    return {ID: message_id, TIMESTAMP: str(now_s), SIGNATURE: f"v1,{_signature(key, message_id, str(now_s), body)}"}


def verify(key: bytes, headers: Mapping[str, str], body: bytes, now_s: float) -> Genuine | NotGenuine:
    """Whether a message is ours and of now. Header names are lower case."""
    message_id, timestamp, given = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not message_id or len(message_id) > MOST_ID or not message_id.isascii() or not message_id.isprintable():
        return NotGenuine(reason=f"{ID} is missing, or not 1 to {MOST_ID} printable ASCII characters")
    if not (timestamp.isascii() and timestamp.isdigit()) or len(timestamp) > 12:  # noqa: PLR2004 - the year 33658
        return NotGenuine(reason=f"{TIMESTAMP} is missing, or not whole seconds since 1970")
    expected = _signature(key, message_id, timestamp, body).encode()
    signatures = given.split(" ")[:_MOST_SIGNATURES]
    # Every one is compared, so that the time does not tell which came close.
    matches = [
        hmac.compare_digest(each.removeprefix("v1,").encode("utf-8", "replace"), expected)
        for each in signatures
        if each.startswith("v1,")
    ]
    if not any(matches):
        return NotGenuine(reason=f"{SIGNATURE} does not hold")
    if abs(now_s - int(timestamp)) > TOLERANCE_S:
        return NotGenuine(reason=f"{TIMESTAMP} is more than {TOLERANCE_S} s from now; look at both clocks")
    return Genuine(id=message_id)


def _signature(key: bytes, message_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{message_id}.{timestamp}.".encode() + body
    return base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
