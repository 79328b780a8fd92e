"""Every way that docs/security.md says a secret is found in, by name."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus

_ESCAPED = ("\\".encode("utf-16-be"), '"'.encode("utf-16-be"))  # never bare in a JSON string
Spelling = Callable[[str], bytes]


def _each(template: str) -> Spelling:
    """Every character by its code point."""
    return lambda secret: "".join(template % ord(character) for character in secret).encode()


def _units(template: str, *, every: int = 1) -> Spelling:
    """Every UTF-16 code unit, or those of every second character."""

    def spell(secret: str) -> bytes:
        raw = [(place, character.encode("utf-16-be")) for place, character in enumerate(secret)]
        return "".join(
            _json(unit.decode("utf-16-be"))
            if unit in _ESCAPED
            else unit.decode("utf-16-be")
            if place % every
            else "".join(template % int.from_bytes(unit[at : at + 2]) for at in range(0, len(unit), 2))
            for place, unit in raw
        ).encode()

    return spell


def _every_second(template: str) -> Spelling:
    return lambda secret: "".join(
        template % ord(character) if place % 2 else character for place, character in enumerate(secret)
    ).encode()


def _json(secret: str) -> str:
    return json.dumps(secret)[1:-1]


SPELLINGS: dict[str, Spelling] = {
    "plain": str.encode,
    "base64": lambda secret: base64.b64encode(secret.encode()),
    "base64 one byte on": lambda secret: base64.b64encode(b"x" + secret.encode() + b"y"),
    "base64 two bytes on": lambda secret: base64.b64encode(b"xy" + secret.encode() + b"z"),
    "base64url": lambda secret: base64.urlsafe_b64encode(b"?>" + secret.encode()).rstrip(b"="),
    "base64 in MIME lines": lambda secret: base64.encodebytes(b"q" * 50 + secret.encode() + b"q" * 50).strip(),
    "base64 in CRLF lines": lambda secret: (
        base64.encodebytes(b"q" * 50 + secret.encode()).strip().replace(b"\n", b"\r\n")
    ),
    "base64 lines in JSON": lambda secret: _json(base64.encodebytes(b"q" * 50 + secret.encode()).decode()).encode(),
    "base64 in a URL": lambda secret: quote(base64.b64encode(b"?" + secret.encode()), safe="").encode(),
    "basic": lambda secret: b"Basic " + base64.b64encode(b"bot:" + secret.encode()),
    "hexadecimal": lambda secret: secret.encode().hex().encode(),
    "hexadecimal in capitals": lambda secret: secret.encode().hex().upper().encode(),
    "percent": lambda secret: quote(secret).encode(),
    "percent, nothing safe": lambda secret: quote(secret, safe="").encode(),
    "percent, plus for a space": lambda secret: quote_plus(secret).encode(),
    "percent, every byte": lambda secret: b"".join(b"%%%02X" % octet for octet in secret.encode()),
    "percent, every byte in small letters": lambda secret: b"".join(b"%%%02x" % octet for octet in secret.encode()),
    "percent, twice": lambda secret: quote(quote(secret, safe=""), safe="").encode(),
    "JSON": lambda secret: _json(secret).encode(),
    "JSON with slashes escaped": lambda secret: _json(secret).replace("/", "\\/").encode(),
    "JSON in JSON": lambda secret: _json(_json(secret)).encode(),
    "JSON, every character": _units("\\u%04x"),
    "JSON, every character in capitals": _units("\\u%04X"),
    "JSON in JSON, every character": lambda secret: _units("\\u%04x")(secret).replace(b"\\", b"\\\\"),
    "JSON, every second character": _units("\\u%04x", every=2),
    "JavaScript": lambda secret: "".join(
        f"\\x{ord(each):02x}" if ord(each) < 256 else each for each in secret
    ).encode(),
    "HTML": lambda secret: html.escape(secret).encode(),
    "HTML in HTML": lambda secret: html.escape(html.escape(secret)).encode(),
    "HTML, decimal": _each("&#%d;"),
    "HTML, decimal with zeros, open": _each("&#%06d"),
    "HTML, hexadecimal": _each("&#x%x;"),
    "HTML, hexadecimal in capitals": _each("&#X%X;"),
    "HTML, every second character": _every_second("&#%d;"),
    "HTML, by name": lambda secret: (
        secret.replace("&", "&amp;").replace("+", "&plus;").replace("/", "&sol;").replace("=", "&equals;").encode()
    ),
    "UTF-16": lambda secret: secret.encode("utf-16-le"),
    "UTF-16, big end first": lambda secret: secret.encode("utf-16-be"),
}
