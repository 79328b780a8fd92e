"""Finds secrets in data, in every rendering and behind escapes, and says how much of the end may begin one."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from threading import Lock

import hyperscan

from .escapes import Escape, escapes_for
from .reading import Change, Reading
from .rendering import Rendering, renderings

SOUGHT = 64  # bytes of a rendering that the search engine looks for; the rest is compared where they are found
HEAD = 8  # the same at the end of data, where a rendering may begin and go on in what follows
DEPTH = 2  # escapes within escapes that are undone
_BREAK = re.compile(rb"(?:\\+r\\+n|\\+[nr]|\r\n|[\r\n])[ \t]{0,8}")
_ESCAPED_SIZE = 14  # bytes of the longest escape of one character
_HELD_FACTOR = 100  # an escape of an escape, with a line break behind each
_LONGEST_ESCAPE = 64
_OPEN_ESCAPES = 4
APART = b"\x00\xff\x00\xff"
_ESCAPED_BREAK = re.compile(rb"\\[nr]")
_BREAK_BYTES = b"\r\n \t"


@dataclass(frozen=True, slots=True)
class Found:
    """A range of the data that says a secret."""

    start: int
    end: int
    name: str


@dataclass(slots=True)
class Findings:
    """What is complete in the data, and where the first begins that may go on after its end (none if it is `final`)."""

    found: list[Found]
    unfinished: int
    final: bool


class Scanner:
    """For one set of secrets. Making one takes 40 ms for 50 of them; it is kept for as long as they stay the same."""

    def __init__(self, needles: Iterable[tuple[str, bytes]]) -> None:
        """`needles`: (secret's name, its bytes)."""
        secrets = sorted({(name, value) for name, value in needles if value})
        all_renderings = {each for name, value in secrets for each in renderings(name, value)}
        whole, heads = _grouped(all_renderings, SOUGHT), _grouped(all_renderings, HEAD)
        self._groups, self._beginnings = list(whole.values()), list(heads.values())
        self._sizes = [len(text) for text in whole]
        self._head_sizes = [len(head) for head in heads]
        self._prefixes = _prefixes(all_renderings)
        self._wrapping_prefixes = _prefixes(each for each in all_renderings if each.wraps)
        # Padding is found without its escapes undone: the rendering without it is a rendering too.
        spelled = [value for _, value in secrets] + [each.text.rstrip(b"=") for each in all_renderings if each.wraps]
        self._escapes = escapes_for(spelled)
        self.longest = max((len(each.text) for each in all_renderings), default=0)
        self.held_limit = _HELD_FACTOR * self.longest + 4096
        self._margin = _ESCAPED_SIZE * max(map(len, spelled), default=0) + 64
        self._tail = 2 * max((len(each.text) for each in all_renderings if each.wraps), default=0) + 256
        self._lock = Lock()
        self._database = _compile(whole, [each for escape in self._escapes for each in escape.searches])
        self._ending = _compile(heads, []) if heads else self._database
        self._kinds = [escape.name for escape in self._escapes for _ in escape.searches]

    def scan(self, data: bytes, *, final: bool) -> Findings:
        """Everything in the data, in no order, possibly overlapping. `final`: nothing comes after it."""
        findings = Findings([], len(data), final)
        if self._groups:
            self._read(Reading(data), findings, DEPTH)
        return findings

    def _read(self, reading: Reading, findings: Findings, depth: int) -> None:
        hits, begins = self._search(reading.data)
        ends = self._ends(reading.data, findings)
        if len(ends) > 1:
            _open(reading, min(ends), findings)
        self._note_hits(reading, hits, findings)
        self._note_ends(reading, self._prefixes, ends, findings)
        self._read_unwrapped(reading, findings)
        least = min(ends)
        for escape in self._escapes if depth else ():
            starts = [start for start in begins[escape.name] if start < least]
            if starts:
                self._read(unescaped(reading, escape, starts, self._margin), findings, depth - 1)

    def _ends(self, data: bytes, findings: Findings) -> list[int]:
        """Where the data ends, and where it would if escapes that are cut off there had not begun."""
        ends = [len(data)]
        if findings.final:
            return ends
        for end in ends:  # grows as it goes: before one escape another may be cut off
            last = data[max(0, end - _LONGEST_ESCAPE) : end]
            cuts = [escape.open.search(last) for escape in self._escapes if escape.lead in last]
            ends += [end - len(last) + cut.start() for cut in cuts if cut and len(ends) <= _OPEN_ESCAPES]
        return ends

    def _search(self, data: bytes) -> tuple[list[tuple[int, int]], dict[str, list[int]]]:
        """What is sought, found as (group, start), and where escapes of each kind may begin."""
        hits: list[tuple[int, int]] = []
        starts: list[list[int]] = [[] for _ in self._kinds]
        groups, sizes = len(self._groups), self._sizes

        def take(number: int, start: int, end: int, _flags: int, _context: object) -> None:
            if number < groups:
                hits.append((number, end - sizes[number]))
            else:
                starts[number - groups].append(start)

        with self._lock:
            self._database.scan(data, match_event_handler=take)
        begins: defaultdict[str, list[int]] = defaultdict(list)
        for kind, found in zip(self._kinds, starts, strict=True):
            begins[kind] += found
        return hits, begins

    def _note_hits(
        self, reading: Reading, hits: list[tuple[int, int]], findings: Findings, *, wrapping: bool = False
    ) -> None:
        for number, start in hits:
            for each in self._groups[number]:
                if (each.wraps or not wrapping) and reading.data.startswith(each.text, start):
                    findings.found.append(Found(*reading.source(start, start + len(each.text)), each.name))

    def _note_ends(
        self,
        reading: Reading,
        prefixes: frozenset[bytes],
        ends: list[int],
        findings: Findings,
        *,
        wrapping: bool = False,
    ) -> None:
        """The longest part before each end that a rendering begins with: of whole heads, then of less than one."""
        if findings.final:
            return
        data, least = reading.data, min(ends)
        first = max(0, least - self.longest + 1)
        for number, start in self._search_beginnings(data[first:]):
            begin = first + start
            for each in self._beginnings[number]:
                if (each.wraps or not wrapping) and _goes_on(data, each.text, begin, ends):
                    _open(reading, begin, findings)
        for end in ends:
            for start in range(max(0, end - HEAD + 1), end):
                if data[start:end] in prefixes:
                    _open(reading, start, findings)
                    break

    def _search_beginnings(self, data: bytes) -> list[tuple[int, int]]:
        """Heads found as (group, start)."""
        hits: list[tuple[int, int]] = []
        sizes = self._head_sizes

        def take(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            hits.append((number, end - sizes[number]))

        with self._lock:
            self._ending.scan(data, match_event_handler=take)
        return hits

    def _read_unwrapped(self, reading: Reading, findings: Findings) -> None:
        """Look for renderings with line breaks in them: first whether there are any at all, then where."""
        data = reading.data
        escaped = b"\\" in data and _ESCAPED_BREAK.search(data) is not None
        if not escaped and b"\n" not in data and b"\r" not in data:
            return
        flat = _ESCAPED_BREAK.sub(b"", data) if escaped else data
        flat = flat.translate(None, _BREAK_BYTES + b"\\" if escaped else _BREAK_BYTES)
        if self._search_wrapping(flat):
            self._read_wrapping(unwrapped(reading), findings)
        last = Reading.replacing(reading, [(0, max(0, len(reading.data) - self._tail), b"")])
        self._read_wrapping(unwrapped(last), findings)

    def _read_wrapping(self, reading: Reading, findings: Findings) -> None:
        ends = self._ends(reading.data, findings)
        self._note_hits(reading, self._search(reading.data)[0], findings, wrapping=True)
        self._note_ends(reading, self._wrapping_prefixes, ends, findings, wrapping=True)

    def _search_wrapping(self, flat: bytes) -> bool:
        return any(
            each.wraps and flat.startswith(each.text, start)
            for number, start in self._search(flat)[0]
            for each in self._groups[number]
        )


def unescaped(reading: Reading, escape: Escape, starts: Iterable[int], margin: int) -> Reading:
    """The surroundings of the escapes that begin at `starts`, with these undone from left to right.

    What is further than `margin` from any of them was read before; it is left out, and `APART` stands for it.
    """
    return Reading.replacing(reading, _escaped(reading.data, escape, sorted(set(starts)), margin))


def _escaped(data: bytes, escape: Escape, starts: list[int], margin: int) -> list[Change]:
    changes: list[Change] = []
    read, place = escape.read, -margin
    for start in starts:
        if start < place or not (said := read(data, start)):
            continue
        if start - place > 2 * margin:
            changes.append((place + margin, start - margin, APART))
        place = said[0]
        changes.append((start, place, said[1]))
    if len(data) - place > margin:
        changes.append((place + margin, len(data), APART))
    return changes


def unwrapped(reading: Reading) -> Reading:
    """The reading without its line breaks. Where two follow each other, something ends: a NUL stands there."""
    return Reading.replacing(reading, _breaks(reading.data))


def _breaks(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    place = -1
    for found in _BREAK.finditer(data):
        yield found.start(), found.end(), b"\0" if found.start() == place else b""
        place = found.end()


def _open(reading: Reading, start: int, findings: Findings) -> None:
    if not findings.final:
        findings.unfinished = min(findings.unfinished, reading.source(start, start + 1)[0])


def _prefixes(all_renderings: Iterable[Rendering]) -> frozenset[bytes]:
    """Every proper beginning of every head."""
    heads = {each.text[:HEAD] for each in all_renderings}
    return frozenset(head[:size] for head in heads for size in range(1, len(head)))


def _grouped(all_renderings: Iterable[Rendering], size: int) -> dict[bytes, list[Rendering]]:
    """Renderings by their first bytes, the longest first."""
    groups: defaultdict[bytes, list[Rendering]] = defaultdict(list)
    for each in sorted(all_renderings, key=lambda each: (-len(each.text), each.text, each.name)):
        groups[each.text[:size]].append(each)
    return dict(groups)


def _goes_on(data: bytes, text: bytes, start: int, ends: Iterable[int]) -> bool:
    """Whether the data from `start` to one of its ends is the beginning of the text, and not all of it."""
    return any(start < end < start + len(text) and text.startswith(data[start:end]) for end in ends)


def _literal(text: bytes) -> bytes:
    return b"".join(b"\\x%02x" % octet for octet in text)


def _compile(texts: Iterable[bytes], escapes: list[bytes]) -> hyperscan.Database:
    """Escapes are reported with where they begin, literals with their end only: their lengths are known."""
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    literals = [_literal(text) for text in texts]
    patterns = [*literals, *escapes]
    flags = [0] * len(literals) + [hyperscan.HS_FLAG_SOM_LEFTMOST] * len(escapes)
    database.compile(expressions=patterns, ids=list(range(len(patterns))), elements=len(patterns), flags=flags)
    return database
