"""Which secrets answers are searched for: all that are known, those that were, and those of the request."""

from collections import OrderedDict
from collections.abc import Iterable

from .redaction import Redactor, redactor_for
from .secrets import SHORT, Secret

# Values that were replaced are still worth something, and still come back, for a while.
MOST_KEPT = 256
Needle = tuple[str, bytes]


class Lookout:
    """Remembers every value it was shown, the latest MOST_KEPT. A short one is looked for only where it is used."""

    def __init__(self) -> None:
        self._seen: OrderedDict[Needle, None] = OrderedDict()
        self._all: frozenset[Needle] = frozenset()

    def redactor(self, known: Iterable[Secret], needles: Iterable[Needle]) -> Redactor:
        """For the answer to one request. `needles` are its own."""
        for secret in known:
            needle = (secret.name, secret.expose())
            if needle not in self._seen and len(needle[1]) >= SHORT:
                self._remember(needle)
        return redactor_for(self._all.union(needles))

    def _remember(self, needle: Needle) -> None:
        self._seen[needle] = None
        if len(self._seen) > MOST_KEPT:
            self._seen.popitem(last=False)
        self._all = frozenset(self._seen)
