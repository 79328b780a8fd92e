"""Escapes that spell one character: percent, JSON and its relatives, HTML. Pure: how each is found and what it says."""

import html.entities
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

_HEX4 = rb"[0-9A-Fa-f]{4}"
_MAX_ZEROS = 7
_NAMED = {name.encode(): text for name, text in html.entities.html5.items() if name.endswith(";") and len(text) == 1}
_SHORT = {"\n": "n", "\r": "r", "\t": "t", "\b": "b", "\f": "f"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Escape:
    """One kind of escape.

    Matches of `searches` (in Hyperscan's syntax) begin where one may begin; `read` gives its end and its bytes there,
    or None; `open` matches one that is cut off at the end of the data.
    """

    name: str
    lead: bytes
    searches: tuple[bytes, ...]
    read: Callable[[bytes, int], tuple[int, bytes] | None]
    open: re.Pattern[bytes]


def escapes_for(values: Iterable[bytes]) -> tuple[Escape, ...]:
    """The kinds of escape, looking for those only that spell a character of one of the values, or another escape."""
    values = list(values)
    octets = sorted({octet for value in values for octet in value} | set(b"%\\&\r\n"))
    characters = sorted({character for value in values for character in _characters(value)} | set("%\\&\r\n"))
    short = "".join(character for character in characters if character in _SHORT and character not in "\r\n")
    written = {octet for value in values for octet in value}
    short += "".join(character for character in "\r\n" if ord(character) in written)
    short += "".join(character for character in "/\"'" if character in characters)
    short += "\\" if ord("\\") in written else ""
    return (_percent(octets), _json(characters, short), _html(characters, ampersand=ord("&") in written))


def _characters(value: bytes) -> str:
    return value.decode("utf-8", "ignore")


_HEX = "0123456789abcdefABCDEF"
_OCTETS = {(first + second).encode(): bytes([int(first + second, 16)]) for first in _HEX for second in _HEX}
_PERCENT_U = re.compile(rb"%u(" + _HEX4 + rb")")


def _percent(octets: list[int]) -> Escape:
    ascii_only = "|".join(f"00{octet:02x}" for octet in octets if octet < 128)  # noqa: PLR2004 - ASCII
    search = "%(?:" + "|".join(f"{octet:02x}" for octet in octets) + f"|u(?:{ascii_only}))"

    def read(data: bytes, at: int) -> tuple[int, bytes] | None:
        if (octet := _OCTETS.get(data[at + 1 : at + 3])) is not None:
            return at + 3, octet
        found = _PERCENT_U.match(data, at)
        return (found.end(), _encoded(int(found[1], 16))) if found else None

    return Escape(
        name="percent", lead=b"%", searches=(f"(?i:{search})".encode(),), read=read,
        open=re.compile(rb"%(?:[0-9A-Fa-f]|u[0-9A-Fa-f]{0,3})?\Z"),
    )  # fmt: skip


_JSON = re.compile(
    rb"\\(?:u([dD][89abAB][0-9A-Fa-f]{2})\\u([dD][c-fC-F][0-9A-Fa-f]{2})"
    rb"|u(" + _HEX4 + rb")|x([0-9A-Fa-f]{2})|([/\"\\'nrtbf]))"
)
_ASCII = {b"u00" + digits: octet for digits, octet in _OCTETS.items() if octet < b"\x80"}
_UNSHORT = {short.encode(): character.encode() for character, short in _SHORT.items()}


def _json(characters: list[str], short: str) -> Escape:
    units = "|".join("\\\\u".join(_units(character)) for character in characters)
    octets = "|".join(f"{ord(character):02x}" for character in characters if ord(character) < 256)  # noqa: PLR2004
    letters = "".join(f"\\x{ord(letter):02x}" for letter in (_SHORT.get(one, one) for one in short))
    nested = "".join(f"\\x{ord(letter):02x}" for letter in "ux/\"'")
    letters = f"|[{letters}]" if letters else ""
    search = rf"\\(?:u(?i:{units})|x(?i:{octets}){letters})"

    def read(data: bytes, at: int) -> tuple[int, bytes] | None:
        if (said := _ASCII.get(data[at + 1 : at + 6])) is not None:
            return at + 6, said
        if data[at + 1 : at + 2] == b"x" and (said := _ASCII.get(b"u00" + data[at + 2 : at + 4])) is not None:
            return at + 4, said
        found = _JSON.match(data, at)
        if found is None:
            return None
        if found[1]:
            pair = (int(found[1], 16) - 0xD800 << 10) + int(found[2], 16) - 0xDC00 + 0x10000
            return found.end(), _encoded(pair)
        if found[5]:
            return found.end(), _UNSHORT.get(found[5], found[5])
        return found.end(), _encoded(int(found[3] or found[4], 16))

    return Escape(
        name="json", lead=b"\\", searches=(search.encode(), rf"\\{{2,3}}[{nested}]".encode()), read=read,
        open=re.compile(
            rb"(?:\\{1,64}|\\u[dD][89abAB][0-9A-Fa-f]{2}(?:\\(?:u[0-9A-Fa-f]{0,3})?)?"
            rb"|\\(?:u[0-9A-Fa-f]{0,3}|x[0-9A-Fa-f]?))\Z"
        ),
    )  # fmt: skip


_NUMBERED = (b"&#%d;", b"&#x%x;", b"&#x%X;")
_REFERENCES = {spell % code: bytes([code]) for code in range(128) for spell in _NUMBERED}
_LONGEST_REFERENCE = max(map(len, _REFERENCES))
_HTML = re.compile(rb"&(?:#([0-9]{1,10});?|#[xX]([0-9A-Fa-f]{1,10});?|([A-Za-z][A-Za-z0-9]{1,31};))")


def _html(characters: list[str], *, ampersand: bool) -> Escape:
    """`ampersand`: a value has one. Else `&amp;`, which is everywhere, counts only before what it makes an escape."""
    zeros = f"0{{0,{_MAX_ZEROS}}}"
    decimal = "|".join(str(ord(character)) for character in characters)
    octal = "|".join(f"{ord(character):x}" for character in characters)
    named = "|".join(name.decode() for name, text in sorted(_NAMED.items()) if text in characters and text != "&")
    again = "(?:amp;|AMP;)" if ampersand else rf"(?:amp;|AMP;)(?:#|amp;|{named})"
    named = "|".join(part for part in (named, again) if part)
    search = f"&(?:#{zeros}(?:{decimal})|#[xX]{zeros}(?i:{octal})|{named})"

    def read(data: bytes, at: int) -> tuple[int, bytes] | None:
        end = data.find(b";", at, at + _LONGEST_REFERENCE) + 1
        if (said := _REFERENCES.get(data[at:end])) is not None:
            return end, said
        found = _HTML.match(data, at)
        if found is None:
            return None
        if found[3]:
            text = _NAMED.get(found[3])
            return None if text is None else (found.end(), text.encode())
        return found.end(), _encoded(int(found[1]) if found[1] else int(found[2], 16))

    return Escape(
        name="html", lead=b"&", searches=(search.encode(),), read=read,
        open=re.compile(rb"&(?:(?:amp|AMP);)?(?:#[0-9]{0,10}|#[xX][0-9A-Fa-f]{0,10}|[A-Za-z][A-Za-z0-9]{0,31})?\Z"),
    )  # fmt: skip


def _units(character: str) -> list[str]:
    """A character's UTF-16 code units in hexadecimal."""
    raw = character.encode("utf-16-be", "surrogatepass")
    return [raw[place : place + 2].hex() for place in range(0, len(raw), 2)]


def _encoded(point: int) -> bytes:
    """A code point in UTF-8; what is none stands for itself as a byte nothing contains."""
    return chr(point).encode("utf-8", "replace") if point < 0x110000 else b"\xff"  # noqa: PLR2004
