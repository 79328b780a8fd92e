"""Looks for placeholders in a body that streams, across the borders of its pieces. Nothing of one passes on."""

import re
from collections.abc import Collection

_PERCENT = ord("%")
_SPELLED = 3  # bytes that one character has at most


class PlaceholderWatch:
    """Watches one body. Holds back only an end that may begin a placeholder, in any case, percent-encoded or not."""

    def __init__(self, words: Collection[str]) -> None:
        self._words = tuple(word.lower().encode() for word in words)
        self._pattern = re.compile(b"|".join(b"".join(map(_spelled, word)) for word in self._words), re.IGNORECASE)
        self._longest = _SPELLED * max(map(len, self._words)) - 1
        self._tail = b""
        self.found = False

    def feed(self, data: bytes) -> bytes:
        """What may pass on now. `b""` is the end of the body. After `found`, nothing does."""
        whole = self._tail + data
        self._tail = b""
        self.found = self.found or self._pattern.search(whole) is not None
        if self.found:
            return b""
        held = self._held_back(whole) if data else 0
        self._tail = whole[len(whole) - held :]
        return whole[: len(whole) - held]

    def _held_back(self, data: bytes) -> int:
        lowered = data[-self._longest :].lower()
        firsts = {_PERCENT, *(word[0] for word in self._words)}
        starts = (start for start, octet in enumerate(lowered) if octet in firsts)
        begun = (start for start in starts if any(_begins(lowered[start:], word) for word in self._words))
        return len(lowered) - next(begun, len(lowered))


def _spelled(octet: int) -> bytes:
    """A pattern of what may stand for a character of a placeholder, a letter in either case."""
    character = chr(octet)
    escapes = b"|".join(b"%%%02x" % ord(each) for each in {character, character.upper()})
    return b"(?:%s|%s)" % (re.escape(character.encode()), escapes)


def _begins(end: bytes, word: bytes) -> bool:
    """Whether all of the end may be the beginning of the word; an escape that is cut off may be any."""
    place = 0
    for octet in word:
        if place >= len(end):
            return True
        if end[place] != _PERCENT:
            said, place = end[place], place + 1
        elif len(end) - place < _SPELLED:
            return True
        else:
            said, place = _decoded(end[place + 1 : place + _SPELLED]), place + _SPELLED
        if said != octet:
            return False
    return False


def _decoded(digits: bytes) -> int:
    try:
        return ord(chr(int(digits, 16)).lower())
    except ValueError:
        return -1
