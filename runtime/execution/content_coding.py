"""Decodes gzip and deflate bodies without letting them grow beyond a bound."""

import zlib

_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS


class CodingError(ValueError):
    """A body that is not what its content-encoding says."""


def decode(body: bytes, coding: str, limit: int) -> bytes | None:
    """The body decoded, itself if its coding is none of these, or None if it would be longer than `limit`."""
    match coding.strip().lower():
        case "gzip" | "x-gzip" if body:
            return _inflate(body, _GZIP, limit)
        case "deflate" if body:
            # Some servers send raw deflate under this name (RFC 9110 section 8.4.1.2).
            return _inflate(body, _ZLIB if _is_zlib(body) else _RAW, limit)
    return body


def _inflate(body: bytes, window: int, limit: int) -> bytes | None:
    parts: list[bytes] = []
    left = limit + 1
    try:
        while body:
            inflater = zlib.decompressobj(window)
            part = inflater.decompress(body, left)
            parts.append(part)
            left -= len(part)
            if left <= 0:
                return None
            if not inflater.eof:
                raise CodingError("it ends too early")
            body = inflater.unused_data  # gzip allows several members in a row
    except zlib.error as error:
        raise CodingError(str(error)) from error
    return b"".join(parts)


def _is_zlib(body: bytes) -> bool:
    head = int.from_bytes(body[:2], "big")
    return len(body) > 1 and body[0] & 0x0F == 8 and head % 31 == 0  # noqa: PLR2004 - RFC 1950 section 2.2
