"""Content codings of request bodies: taken off under a bound before a body is read, or refused."""

import zlib
from collections.abc import Iterable

from .request import Denial

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def coding_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The body's one coding in lower case, `identity` for none; several are given joined, and no decoder has them."""
    said = [value.decode("latin-1").strip().lower() for name, value in headers if name.lower() == b"content-encoding"]
    return ",".join(coding for coding in said if coding) or "identity"


def without_coding(headers: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """Headers that go with a body whose coding was taken off."""
    return tuple((name, value) for name, value in headers if name.lower() != b"content-encoding")


def refuse_coding(coding: str) -> Denial | None:
    """Why a body of this coding could not be read, or None."""
    if coding == "identity" or coding in _WINDOW_BITS:
        return None
    reason = f'the body is encoded as "{coding[:40]}", and this request\'s body must be read; send it as it is, or gzip'
    return Denial(code="coding", reason=reason, status=415)


def decode_body(raw: bytes, coding: str, limit: int) -> bytes | Denial:
    """At most `limit` bytes. Data after the coding's end is refused: a server might read it."""
    refused = refuse_coding(coding)
    if refused is not None or coding == "identity" or not raw:
        return refused or raw
    decoder = zlib.decompressobj(_WINDOW_BITS[coding])
    try:
        plain = decoder.decompress(raw, limit + 1)
    except zlib.error:
        return Denial(code="coding", reason=f"the body is not valid {coding}", status=400)
    if len(plain) > limit:
        return too_long(limit)
    if not decoder.eof or decoder.unused_data:
        what = "goes on after its end" if decoder.eof else "is cut off"
        return Denial(code="coding", reason=f"the body's {coding} {what}", status=400)
    return plain


def too_long(limit: int) -> Denial:
    """The refusal of a body that may not be longer than `limit` bytes."""
    reason = f"the request body is longer than {limit} bytes, the most this request may carry; send less"
    return Denial(code="body_size", reason=reason, status=413)
