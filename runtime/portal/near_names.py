"""The names most like one that does not exist, found in about a millisecond however many there are.

Programs call what they misremember, in loops too, and nobody else's program waits for the words they are told.
"""

import difflib
from collections import Counter
from collections.abc import Iterable
from typing import Final

_CANDIDATES: Final = 24
_MOST_LOOKED_AT: Final = 12_000
"""Entries of the index, after the rarest parts of a name."""
_MOST_LENGTH: Final = 120
_LEAST_ALIKE: Final = 0.5


class NearNames:
    """Names by the three-letter parts they have."""

    def __init__(self, names: Iterable[str]) -> None:
        having: dict[str, list[str]] = {}
        for name in names:
            for part in _parts(name):
                having.setdefault(part, []).append(name)
        self._having = having

    def of(self, wanted: str, count: int = 3) -> list[str]:
        """The best first; none that have little in common with it."""
        wanted = wanted[:_MOST_LENGTH]
        folded = wanted.lower()
        matcher = difflib.SequenceMatcher(b=folded, autojunk=False)
        scored = []
        for name in self._likely(wanted):
            matcher.set_seq1(name.lower())
            if matcher.quick_ratio() >= _LEAST_ALIKE and (ratio := matcher.ratio()) >= _LEAST_ALIKE:
                scored.append((-ratio, name))
        return [name for _, name in sorted(scored)[:count]]

    def _likely(self, wanted: str) -> list[str]:
        """Those that share most of its parts, of the rarest ones if they are many."""
        lists = sorted((self._having[part] for part in _parts(wanted) if part in self._having), key=len)
        shared: Counter[str] = Counter()
        looked_at = 0
        for names in lists:
            looked_at += len(names)
            if looked_at > _MOST_LOOKED_AT and shared:
                break
            shared.update(names[:_MOST_LOOKED_AT])
        return [name for name, _ in shared.most_common(_CANDIDATES)]


def _parts(name: str) -> frozenset[str]:
    folded = name.lower().replace("_", "").replace("-", "")
    return frozenset(folded[i : i + 3] for i in range(max(1, len(folded) - 2)))
