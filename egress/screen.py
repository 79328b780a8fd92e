"""Looks at what a request carries out, before any credential is on it, and blocks or redacts what its rules say."""

import base64
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import quote

from sandboxes.dlp import DlpRule
from sandboxes.text_pattern import compiled

from .dlp_patterns import Pattern, patterns_for, present
from .escapes import Escape, escapes_for
from .outgoing import Outgoing
from .reading import Reading
from .request import Denial

OVERLAP = 8 * 1024  # bytes of a streamed body that are looked at again with what follows
MOST_HELD = 64 * 1024  # for something that is found and goes on; what goes on longer is blocked
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{20,}={0,2}")
_SOME_BASE64 = compiled("[A-Za-z0-9+/_-]{20}")  # RE2 tells seven times faster that there is none
_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
_APART = b"\0"  # no known kind goes on across it
_ESCAPES = escapes_for(())


@dataclass(frozen=True, slots=True)
class Hit:
    """A range of the data that a pattern was found in, as it is or encoded."""

    start: int
    end: int
    pattern: Pattern


class Screen:
    """For one request. `hits` counts what was found by the pattern's name; nothing keeps what was found."""

    def __init__(self, rules: tuple[DlpRule, ...], egress_rule: str | None) -> None:
        self.hits: Counter[str] = Counter()
        self._rules = rules
        self._egress_rule = egress_rule
        self._body = patterns_for(rules, "body", egress_rule)
        self._tail = b""
        self._begun = False

    @property
    def reads_body(self) -> bool:
        """Whether any rule looks at bodies."""
        return bool(self._body)

    def holds(self, headers: Iterable[tuple[bytes, bytes]], length: int | None, limit: int) -> bool:
        """Whether the body is looked at whole, before any of it leaves: a short one, or one in a content coding."""
        coded = any(name.lower() == b"content-encoding" for name, _ in headers)
        return self.reads_body and (coded or (length is not None and 0 < length <= limit))

    def head(self, outgoing: Outgoing) -> Outgoing | Denial:
        """The request with its path, query and headers screened."""
        path = outgoing.path.encode()
        if hits := self._found(path, patterns_for(self._rules, "path", self._egress_rule)):
            return self._refuse(hits[0], "path")
        query = self._query(outgoing)
        if isinstance(query, Denial):
            return query
        patterns = patterns_for(self._rules, "headers", self._egress_rule)
        headers: list[tuple[bytes, bytes]] = []
        for name, value in outgoing.headers:
            clean = self._clean(value, patterns, "headers")
            if isinstance(clean, Denial):
                return clean
            headers.append((name, clean))
        return replace(outgoing, query=query, headers=tuple(headers))

    def step(self, outgoing: Outgoing) -> Outgoing | Denial:
        """A held request with its whole body screened."""
        body = self._clean(outgoing.body, self._body, "body")
        return body if isinstance(body, Denial) else replace(outgoing, body=body)

    def feed(self, data: bytes, *, final: bool, fixed: bool) -> bytes | Denial:
        """What may pass on of a streamed body. `fixed`: its length was announced, so redacting is blocking."""
        self._tail += data
        if not final and len(self._tail) < 2 * OVERLAP:
            return b""
        hits = self._found(self._tail, self._body, begun=self._begun)
        blocking = [hit for hit in hits if fixed or hit.pattern.rule.action == "block"]
        if blocking:
            return self._refuse(blocking[0], "body")
        cut = len(self._tail) if final else _settled(hits, len(self._tail))
        if len(self._tail) - cut > MOST_HELD:
            return self._refuse(hits[0], "body")
        settled = [hit for hit in hits if hit.start < cut]
        passed = self._redact(self._tail[:cut], settled)
        self._tail, self._begun = self._tail[cut:], True
        return passed

    def _query(self, outgoing: Outgoing) -> str | Denial | None:
        if outgoing.query is None:
            return None
        patterns = patterns_for(self._rules, "query", self._egress_rule)
        clean = self._clean(outgoing.query.encode(), patterns, "query", encode=True)
        return clean if isinstance(clean, Denial) else clean.decode()

    def _clean(self, data: bytes, patterns: list[Pattern], part: str, *, encode: bool = False) -> bytes | Denial:
        hits = self._found(data, patterns)
        blocking = [hit for hit in hits if hit.pattern.rule.action == "block"]
        return self._refuse(blocking[0], part) if blocking else self._redact(data, hits, encode=encode)

    def _found(self, data: bytes, patterns: list[Pattern], *, begun: bool = False) -> list[Hit]:
        return sorted(found(data, patterns, begun=begun), key=lambda hit: (hit.start, -hit.end)) if patterns else []

    def _redact(self, data: bytes, hits: list[Hit], *, encode: bool = False) -> bytes:
        parts: list[bytes] = []
        place = 0
        for hit in hits:
            if hit.start >= place:
                marker = f"[redacted:{hit.pattern.name}]"
                parts += [data[place : hit.start], (quote(marker, safe="") if encode else marker).encode()]
                self.hits[hit.pattern.name] += 1
            place = max(place, hit.end)
        return b"".join([*parts, data[place:]])

    def _refuse(self, hit: Hit, part: str) -> Denial:
        self.hits[hit.pattern.name] += 1
        name = hit.pattern.name
        reason = (
            f'the {part} of the request holds what the outgoing data rule "{hit.pattern.rule.name}" keeps in: {name}'
        )
        return Denial(code="dlp", reason=reason, rule=self._egress_rule, hint={"pattern": name, "part": part})


def found(data: bytes, patterns: list[Pattern], *, begun: bool = False) -> Iterator[Hit]:
    """Every place of every pattern: as it is, behind one level of percent, JSON or HTML escapes, and in base64.

    `begun`: the data goes on from somewhere, so base64 at its beginning may begin at any of four characters.
    """
    for reading in _readings(data):
        for pattern in present(patterns, reading.data):
            for start, end in pattern.find(reading.data):
                yield Hit(*reading.source(start, end), pattern)
        for start, end, pattern in _encoded(reading.data, patterns, begun=begun):
            yield Hit(*reading.source(start, end), pattern)


def _readings(data: bytes) -> Iterator[Reading]:
    raw = Reading(data)
    yield raw
    for escape in _ESCAPES:
        changes = list(_changes(data, escape))
        if changes:
            yield Reading.replacing(raw, changes)


def _changes(data: bytes, escape: Escape) -> Iterator[tuple[int, int, bytes]]:
    place = data.find(escape.lead)
    while place >= 0:
        said = escape.read(data, place)
        if said is None:
            place = data.find(escape.lead, place + 1)
            continue
        yield place, said[0], said[1]
        place = data.find(escape.lead, said[0])


def _encoded(data: bytes, patterns: list[Pattern], *, begun: bool) -> Iterator[tuple[int, int, Pattern]]:
    """Runs of base64 characters, and the patterns found in what they say."""
    if _SOME_BASE64.search(data) is None:
        return
    runs = [
        (*run.span(), said)
        for run in _BASE64.finditer(data)
        for said in _decoded(run[0], begun=begun and run.start() == 0)
    ]
    looked_for = present(patterns, _APART.join(said for _, _, said in runs))
    for start, end, said in runs:
        yield from ((start, end, pattern) for pattern in looked_for if next(pattern.find(said), None) is not None)


def _decoded(run: bytes, *, begun: bool) -> Iterator[bytes]:
    """What a run of base64 characters says, from any of its first four on if it may have `begun` before."""
    text = run.rstrip(b"=").translate(_URL_ALPHABET)
    for offset in range(4) if begun else (0,):
        usable = text[offset : offset + (len(text) - offset) // 4 * 4]
        rest = text[offset + len(usable) :]
        yield base64.b64decode(usable + (rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""))


def _settled(hits: list[Hit], size: int) -> int:
    """How much may pass on: all but the overlap, and nothing of a find that may go on."""
    cut = size - OVERLAP
    for hit in hits:
        if hit.start < cut and (hit.end > cut or hit.end == size):
            cut = hit.start
    return cut
