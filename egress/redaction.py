"""Takes secrets out of what comes back: in every rendering, in headers and in streams, across chunk borders."""

from collections.abc import Iterable
from functools import lru_cache

from .scanner import APART, Found, Scanner

KEPT_SCANNERS = 64


class UnfinishedError(Exception):
    """More of a stream might belong to one secret than any of its renderings is long: it cannot be searched."""


class Redactor:
    """Replaces each rendering of a secret by `[redacted:<name>]`. One for all, it keeps no state between calls."""

    def __init__(self, scanner: Scanner) -> None:
        self.scanner = scanner

    def replace(self, data: bytes) -> tuple[bytes, int]:
        """The data without secrets, and how many places were redacted. What overlaps is one place."""
        ranges = merged(self.scanner.scan(data, final=True).found)
        return b"".join(_parts(data, 0, len(data), ranges)), len(ranges)

    def finds(self, parts: Iterable[bytes]) -> bool:
        """Whether any part holds a secret: one search for all of them, as most heads hold none."""
        return bool(self.scanner.scan(APART.join(parts), final=True).found)

    def text(self, said: str) -> str:
        """The same for a message."""
        return self.replace(said.encode(errors="replace"))[0].decode(errors="replace")


@lru_cache(maxsize=KEPT_SCANNERS)
def redactor_for(needles: frozenset[tuple[str, bytes]]) -> Redactor:
    """The redactor of a set of (secret's name, its bytes). Kept, because making one takes long (`Scanner`)."""
    return Redactor(Scanner(needles))


NOTHING = Redactor(Scanner(()))


class StreamRedactor:
    """A Redactor over a stream. Holds back only bytes that may begin a rendering, so that streams keep flowing."""

    def __init__(self, redactor: Redactor) -> None:
        self._scanner = redactor.scanner
        self._tail = b""
        self._said = 0  # bytes of the tail that a marker stands for already
        self._limit = self._scanner.held_limit
        self.count = 0

    def feed(self, data: bytes) -> bytes:
        """What may pass on now. Raises UnfinishedError."""
        data = self._tail + data
        findings = self._scanner.scan(data, final=False)
        cut = _between_escapes(data, findings.unfinished)
        if len(data) - cut > self._limit:
            raise UnfinishedError
        return self._pass(data, findings.found, cut)

    def finish(self) -> bytes:
        """What was held back at the end."""
        return self._pass(self._tail, self._scanner.scan(self._tail, final=True).found, len(self._tail))

    def _pass(self, data: bytes, found: list[Found], cut: int) -> bytes:
        """The data up to `cut`, redacted. A range that `cut` is inside of is marked now and swallowed later."""
        ranges = merged(found if not self._said else [*found, Found(0, self._said, "")])
        if self._said:
            ranges[0] = Found(0, ranges[0].end, "")
        begun = [each for each in ranges if each.start < cut or not each.name]
        self.count += sum(1 for each in begun if each.name)
        self._said = max([0, *(each.end - cut for each in begun)])
        self._tail = data[cut:]
        return b"".join(_parts(data, 0, cut, begun))


def merged(found: Iterable[Found]) -> list[Found]:
    """Ranges apart from each other, in order; what overlaps becomes one, named after what begins first."""
    apart: list[Found] = []
    for each in sorted(found, key=lambda each: (each.start, -each.end, each.name)):
        if apart and each.start < apart[-1].end:
            last = apart[-1]
            apart[-1] = Found(last.start, max(last.end, each.end), last.name)
        else:
            apart.append(each)
    return apart


def _parts(data: bytes, place: int, end: int, ranges: list[Found]) -> Iterable[bytes]:
    for each in ranges:
        yield data[place : each.start]
        yield f"[redacted:{each.name}]".encode() if each.name else b""
        place = min(each.end, end)
    yield data[place:end]


def _between_escapes(data: bytes, cut: int) -> int:
    """`cut`, or one less where it would part two backslashes that belong together."""
    slashes = len(data[:cut]) - len(data[:cut].rstrip(b"\\")) if data[cut - 1 : cut] == b"\\" else 0
    return cut - slashes % 2
