"""What one execution, or one profile, has used of its budget. Pure: nothing here waits, sends or looks at a clock."""

from dataclasses import dataclass
from typing import Any, Literal

from sandboxes.budgets import UNLIMITED, Budget, Count

from .bucket import Bucket, Buckets
from .request import Denial

_TOO_MANY_REQUESTS = 429

Scope = Literal["execution", "profile"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exhausted:
    """A budget that is used up. `sent` tells whether something of the request had left by then."""

    budget: str
    scope: Scope
    value: float
    used: float
    retry_after_s: float | None = None
    sent: bool = False

    @property
    def reason(self) -> str:
        """For people."""
        whose = "this execution" if self.scope == "execution" else "all executions of its profile"
        again = f"; again in {self.retry_after_s:.3g} s" if self.retry_after_s is not None else ""
        return f"egress budget {self.budget} of {whose} is used up: {self.value:g}, used {self.used:g}{again}"

    def denial(self, rule: str | None = None) -> Denial:
        """For the request that it refuses."""
        return Denial(code="budget", reason=self.reason, status=_TOO_MANY_REQUESTS, rule=rule, hint=self.hint())

    def hint(self) -> dict[str, Any]:
        """For programs."""
        told = {"budget": self.budget, "scope": self.scope, "value": self.value, "used": self.used, "sent": self.sent}
        return told if self.retry_after_s is None else {**told, "retry_after_s": round(self.retry_after_s, 3)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """A request that asks to be made."""

    host: str
    redirect: bool = False
    retry: bool = False


class Account:
    """Counts against one Budget. `share`: of how many proxies this is one, when they divide the budget."""

    def __init__(self, scope: Scope, budget: Budget, now: float, share: int = 1) -> None:
        self._scope = scope
        self._budget = budget
        self._share = share
        self._rate = Bucket(budget.rate, now) if budget.rate != UNLIMITED else None
        self._host_rates = Buckets(budget.host_rate) if budget.host_rate != UNLIMITED else None
        self.parallel = 0
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what was used, but for what is under way."""
        self._used = dict.fromkeys(("requests", "redirects", "retries", "bytes_out", "bytes_in"), 0)
        self._hosts: set[str] = set()

    def refuses(self, wanted: Wanted, now: float) -> Exhausted | None:
        """Which budget a further request would overdraw. Counts nothing."""
        steps = [("requests", self._used["requests"], True), ("parallel", self.parallel, True)]
        steps += [("hosts", len(self._hosts), wanted.host not in self._hosts)]
        steps += [("redirects", self._used["redirects"], wanted.redirect)]
        steps += [("retries", self._used["retries"], wanted.retry)]
        for name, used, asked in steps:
            value = self._value(name)
            if asked and value is not None and used >= value:
                return Exhausted(budget=name, scope=self._scope, value=value, used=used)
        return self._refuses_now(wanted.host, now)

    def _refuses_now(self, host: str, now: float) -> Exhausted | None:
        for name in ("rate", "host_rate"):
            bucket = self._rate if name == "rate" else self._host_bucket(host, now)
            if bucket is not None and (wait := bucket.wait_s(now)) > 0:
                rate = getattr(self._budget, name)
                return Exhausted(
                    budget=name, scope=self._scope, value=rate.per_second, used=rate.burst, retry_after_s=wait
                )
        return None

    def enter(self, wanted: Wanted, now: float) -> None:
        """Count a request that nothing refuses."""
        self._used["requests"] += 1
        self._used["redirects"] += wanted.redirect
        self._used["retries"] += wanted.retry
        self.parallel += 1
        if self._value("hosts") is not None:
            self._hosts.add(wanted.host)
        if self._rate is not None:
            self._rate.take()
        if (bucket := self._host_bucket(wanted.host, now)) is not None:
            bucket.take()

    def _host_bucket(self, host: str, now: float) -> Bucket | None:
        return self._host_rates.of(host, now) if self._host_rates is not None else None

    def leave(self) -> None:
        """A request is over."""
        self.parallel -= 1

    def move(self, direction: Literal["bytes_out", "bytes_in"], size: int, *, sent: bool) -> Exhausted | None:
        """Count bytes; tells when they are more than the budget has left. They count all the same."""
        self._used[direction] += size
        value = self._value(direction)
        if value is None or self._used[direction] <= value:
            return None
        return Exhausted(budget=direction, scope=self._scope, value=value, used=self._used[direction], sent=sent)

    def lacks(self, direction: Literal["bytes_out", "bytes_in"], size: int, *, sent: bool) -> Exhausted | None:
        """Whether `size` further bytes would be too many. Counts nothing."""
        value = self._value(direction)
        if value is None or self._used[direction] + size <= value:
            return None
        return Exhausted(budget=direction, scope=self._scope, value=value, used=self._used[direction], sent=sent)

    def left(self, direction: Literal["bytes_out", "bytes_in"]) -> int | None:
        """Bytes that may still go that way; None for any number."""
        value = self._value(direction)
        return None if value is None else max(0, value - self._used[direction])

    def _value(self, name: str) -> int | None:
        value: Count = getattr(self._budget, name)
        if value == UNLIMITED:
            return None
        return max(1, value // self._share) if value else 0
