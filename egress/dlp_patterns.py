"""The patterns of outgoing data rules, compiled: known kinds of data, with the checks that tell them from numbers."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sandboxes.dlp import DlpRule, Known, Part
from sandboxes.known_data import KNOWN
from sandboxes.text_pattern import compiled

Span = tuple[int, int]
_GROUP = re.compile(rb"[0-9]+")
_CARD_LENGTHS = range(13, 20)
# ISO 13616: the length of an account number by country.
_IBAN_LENGTHS = {
    b"AD": 24, b"AE": 23, b"AL": 28, b"AT": 20, b"AZ": 28, b"BA": 20, b"BE": 16, b"BG": 22, b"BH": 22, b"BR": 29,
    b"BY": 28, b"CH": 21, b"CR": 22, b"CY": 28, b"CZ": 24, b"DE": 22, b"DK": 18, b"DO": 28, b"EE": 20, b"EG": 29,
    b"ES": 24, b"FI": 18, b"FO": 18, b"FR": 27, b"GB": 22, b"GE": 22, b"GI": 23, b"GL": 18, b"GR": 27, b"GT": 28,
    b"HR": 21, b"HU": 28, b"IE": 22, b"IL": 23, b"IQ": 23, b"IS": 26, b"IT": 27, b"JO": 30, b"KW": 30, b"KZ": 20,
    b"LB": 28, b"LC": 32, b"LI": 21, b"LT": 20, b"LU": 20, b"LV": 21, b"LY": 25, b"MC": 27, b"MD": 24, b"ME": 22,
    b"MK": 19, b"MR": 27, b"MT": 31, b"MU": 30, b"NL": 18, b"NO": 15, b"PK": 24, b"PL": 28, b"PS": 29, b"PT": 25,
    b"QA": 29, b"RO": 24, b"RS": 22, b"SA": 24, b"SC": 31, b"SD": 18, b"SE": 24, b"SI": 19, b"SK": 24, b"SM": 27,
    b"ST": 25, b"SV": 28, b"TL": 23, b"TN": 24, b"TR": 26, b"UA": 29, b"VA": 22, b"VG": 24, b"XK": 20,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """One compiled pattern and what to do where it is found."""

    name: str
    rule: DlpRule
    regex: Any
    spans: Callable[[bytes], Iterator[Span]] | None

    def find(self, data: bytes) -> Iterator[Span]:
        """Where in the data it is found."""
        for match in self.regex.finditer(data):
            start, end = match.span()
            if self.spans is None:
                yield start, end
                continue
            for first, last in self.spans(data[start:end]):
                yield start + first, start + last


@lru_cache(maxsize=256)
def patterns_of(rules: tuple[DlpRule, ...]) -> tuple[Pattern, ...]:
    """The patterns of outgoing data rules, in their order."""
    return tuple(pattern for rule in rules for pattern in _patterns(rule))


def patterns_for(rules: tuple[DlpRule, ...], part: Part, egress_rule: str | None) -> list[Pattern]:
    """Those that look at a part of requests that an egress rule let pass."""
    return [each for each in patterns_of(rules) if part in each.rule.parts and egress_rule not in each.rule.exempt]


def _patterns(rule: DlpRule) -> Iterator[Pattern]:
    if rule.pattern is not None:
        yield Pattern(rule.name, rule, compiled(rule.pattern), None)
    for known in rule.find:
        yield Pattern(known, rule, compiled(KNOWN[known]), _CHECKS.get(known))


def _cards(run: bytes) -> Iterator[Span]:
    """Within digits and separators: groups of digits that together are a card number with a good check digit."""
    groups = [match.span() for match in _GROUP.finditer(run)]
    for first, (start, _) in enumerate(groups):
        for _, end in groups[first:]:
            digits = run[start:end].translate(None, b" -")
            if len(digits) in _CARD_LENGTHS and digits[:1] in b"23456" and luhn(digits):
                yield start, end


def luhn(digits: bytes) -> bool:
    """ISO/IEC 7812-1, annex B."""
    doubled = [(digit - 48) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0  # noqa: PLR2004 - sum of both digits


def _ibans(run: bytes) -> Iterator[Span]:
    """The match may go on behind the number: its country tells how long it is."""
    length = _IBAN_LENGTHS.get(run[:2].upper())
    places = [place for place, octet in enumerate(run) if octet != ord(" ")]
    if length is None or len(places) < length:
        return
    text = bytes(run[place] for place in places[:length]).upper()
    value = int("".join(str(int(chr(octet), 36)) for octet in text[4:] + text[:4]))
    if value % 97 == 1:
        yield 0, places[length - 1] + 1


_CHECKS: dict[Known, Callable[[bytes], Iterator[Span]]] = {"card-number": _cards, "iban": _ibans}
