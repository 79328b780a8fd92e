"""The patterns of outgoing data rules, compiled: known kinds of data, with the checks that tell them from numbers.

RE2 finds where something is. Which of the known kinds are there at all, Hyperscan tells before, in one pass for all.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Any

import hyperscan

from sandboxes.dlp import DlpRule, Known, Part
from sandboxes.known_data import KNOWN
from sandboxes.text_pattern import compiled

Span = tuple[int, int]
_GROUP = re.compile(rb"[0-9]+")
_CARD_LENGTHS = range(13, 20)
_LOCAL_PART = 64  # RFC 5321, section 4.5.3.1.1; a bound in the pattern would make it slow on long words
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
    """One compiled pattern and what to do where it is found. `known`: the kind of data, or None for an own pattern."""

    name: str
    rule: DlpRule
    regex: Any
    spans: Callable[[bytes], Iterator[Span]] | None
    known: Known | None

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
        yield Pattern(rule.name, rule, compiled(rule.pattern), None, None)
    for known in rule.find:
        yield Pattern(known, rule, compiled(KNOWN[known]), _CHECKS.get(known), known)


class _Presence:
    """Which known kinds may be in some bytes. A kind that it leaves out is not there."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._names: list[Known] = list(KNOWN)
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        count = len(self._names)
        flags = hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_PREFILTER
        self._database.compile(
            expressions=[KNOWN[name].encode() for name in self._names],
            ids=list(range(count)),
            elements=count,
            flags=[flags] * count,
        )

    def of(self, data: bytes) -> frozenset[Known]:
        found: list[Known] = []

        def take(number: int, _start: int, _end: int, _flags: int, _context: object) -> None:
            found.append(self._names[number])

        with self._lock:
            self._database.scan(data, match_event_handler=take)
        return frozenset(found)


@lru_cache(maxsize=1)
def _presence() -> _Presence:
    """Made when the first rule asks for it: that takes some milliseconds."""
    return _Presence()


def present(patterns: list[Pattern], data: bytes) -> list[Pattern]:
    """The patterns that may be found in the data: own ones always, known kinds if they are there at all."""
    if not any(pattern.known for pattern in patterns):
        return patterns
    there = _presence().of(data)
    return [pattern for pattern in patterns if pattern.known is None or pattern.known in there]


def _cards(run: bytes) -> Iterator[Span]:
    """Within digits and separators: groups of digits that together are a card number with a good check digit."""
    sums = _LuhnSums(run.translate(None, b" -"))
    groups: list[tuple[int, int, int]] = []  # (start, end, digits before it)
    for match in _GROUP.finditer(run):
        before = groups[-1][2] + groups[-1][1] - groups[-1][0] if groups else 0
        groups.append((*match.span(), before))
    for first, (start, _, before) in enumerate(groups):
        for begin, end, count in groups[first:]:
            length = count + end - begin - before
            if length >= _CARD_LENGTHS.stop:
                break
            if length in _CARD_LENGTHS and sums.card(before, before + length):
                yield start, end


class _LuhnSums:
    """Sums of digits as ISO/IEC 7812-1, annex B, doubles them, so that every part of a long run is told in one step."""

    def __init__(self, digits: bytes) -> None:
        self._digits = digits
        self._sums = ([0], [0])  # up to each place, with every digit doubled whose place is even, or odd
        for place, digit in enumerate(digits):
            value = digit - 48
            doubled = 2 * value - 9 * (value > 4)  # noqa: PLR2004 - the sum of both digits
            self._sums[place % 2].append(self._sums[place % 2][-1] + doubled)
            self._sums[1 - place % 2].append(self._sums[1 - place % 2][-1] + value)

    def card(self, start: int, end: int) -> bool:
        """Whether the digits of that range begin as those of a card and have a good check digit."""
        sums = self._sums[end % 2]
        return self._digits[start] in b"23456" and (sums[end] - sums[start]) % 10 == 0


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


def _addresses(run: bytes) -> Iterator[Span]:
    """As much of the local part as an address may have."""
    yield max(0, run.index(b"@") - _LOCAL_PART), len(run)


_CHECKS: dict[Known, Callable[[bytes], Iterator[Span]]] = {
    "card-number": _cards,
    "iban": _ibans,
    "email-address": _addresses,
}
