"""Token buckets: how often something may happen. Pure: the time is given, monotonic, in seconds."""

from collections import OrderedDict

from sandboxes.budgets import Rate

MOST_BUCKETS = 10_000


class Bucket:
    """Holds `burst` at first and gains `per_second`."""

    __slots__ = ("_held", "_rate", "_since")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._held = float(rate.burst)
        self._since = now

    def wait_s(self, now: float) -> float:
        """How long until one may be taken; 0 if it may now."""
        self._held = min(float(self._rate.burst), self._held + max(0.0, now - self._since) * self._rate.per_second)
        self._since = now
        return max(0.0, (1.0 - self._held) / self._rate.per_second)

    def take(self) -> None:
        """Take one, after `wait_s` gave 0."""
        self._held -= 1.0


class Buckets:
    """One bucket for each name. At most MOST_BUCKETS: the one that was asked for longest ago is forgotten."""

    def __init__(self, rate: Rate) -> None:
        self._rate = rate
        self._buckets: OrderedDict[str, Bucket] = OrderedDict()

    def of(self, name: str, now: float) -> Bucket:
        """The bucket of a name."""
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = Bucket(self._rate, now)
            if len(self._buckets) > MOST_BUCKETS:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(name)
        return bucket
