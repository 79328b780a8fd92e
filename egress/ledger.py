"""All accounts of one proxy. Its own counts: what the gateway counts is not asked for.

An execution's account is dropped when its last token has expired or is revoked. There are at most MOST_ACCOUNTS;
while there are, further executions are refused, because a forgotten account would be a fresh budget.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

from sandboxes.budgets import Budgets, Terms
from sandboxes.token import TokenClaims

from .account import Account, Exhausted, Wanted
from .trail import Trail

MOST_ACCOUNTS = 20_000
_PRUNE_S = 5.0


@dataclass(kw_only=True, slots=True)
class _Execution:
    account: Account
    expires: int
    trail: Trail = field(default_factory=Trail)


@dataclass(kw_only=True, slots=True)
class _Profile:
    account: Account
    since: float


class Lease:
    """One request's hold on the accounts it is made under."""

    __slots__ = ("_accounts", "_open", "_request", "_trail")

    def __init__(self, accounts: tuple[Account, ...], trail: Trail, request: tuple[str, str]) -> None:
        self._accounts = accounts
        self._trail = trail
        self._request = request
        self._open = True

    def sends(self, size: int, *, sent: bool = True) -> Exhausted | None:
        """Count bytes of the request's body."""
        return self._first([account.move("bytes_out", size, sent=sent) for account in self._accounts])

    def brings(self, size: int) -> Exhausted | None:
        """Count bytes of the answer's body."""
        return self._first([account.move("bytes_in", size, sent=True) for account in self._accounts])

    def cannot_send(self, size: int) -> Exhausted | None:
        """Whether a body of `size` bytes would be too much, before any of it has left."""
        return self._first([account.lacks("bytes_out", size, sent=False) for account in self._accounts])

    def cannot_bring(self, size: int) -> Exhausted | None:
        """Whether an answer of `size` bytes would be too much, before any of it has come."""
        return self._first([account.lacks("bytes_in", size, sent=True) for account in self._accounts])

    def bytes_left(self) -> int | None:
        """Bytes of answers that may still come; None where no budget ends them."""
        left = [account.left("bytes_in") for account in self._accounts]
        return min((bytes_ for bytes_ in left if bytes_ is not None), default=None)

    def answered(self, status: int, location: str | None) -> None:
        """Note the answer: what is asked for next may follow from it."""
        self._trail.answered(*self._request, status, location)

    def failed(self) -> None:
        """Note that there was none."""
        self._trail.failed(*self._request)

    def end(self) -> None:
        """The request is over. Idempotent."""
        if self._open:
            self._open = False
            for account in self._accounts:
                account.leave()

    @staticmethod
    def _first(found: list[Exhausted | None]) -> Exhausted | None:
        return next((exhausted for exhausted in found if exhausted is not None), None)


class Ledger:
    """`now` is in Unix seconds for tokens and windows, `tick` monotonic for rates."""

    def __init__(self, share: int = 1, most: int = MOST_ACCOUNTS) -> None:
        self._share = share
        self._most = most
        self._executions: dict[str, _Execution] = {}
        self._profiles: dict[tuple[str, Budgets], _Profile] = {}
        self._pruned = 0.0

    def __len__(self) -> int:
        return len(self._executions)

    def enter(  # noqa: PLR0913, PLR0917 - who asks, under what, for what, when
        self, claims: TokenClaims, terms: Terms, request: tuple[str, str], host: str, now: float, tick: float
    ) -> Lease | Exhausted:
        """Count a request, `request` being its method and URL, or tell which budget it would overdraw."""
        execution = self._execution(claims, terms, now, tick)
        if isinstance(execution, Exhausted):
            return execution
        trail = execution.trail
        wanted = Wanted(host=host, redirect=trail.is_redirect(request[1]), retry=trail.is_retry(*request))
        accounts = (execution.account, self._profile(terms, now, tick))
        for account in accounts:
            if exhausted := account.refuses(wanted, tick):
                return exhausted
        for account in accounts:
            account.enter(wanted, tick)
        return Lease(accounts, trail, request)

    def forget(self, executions: Collection[str]) -> None:
        """Drop executions whose tokens are refused from now on."""
        for execution in executions:
            self._executions.pop(execution, None)

    def _execution(self, claims: TokenClaims, terms: Terms, now: float, tick: float) -> _Execution | Exhausted:
        known = self._executions.get(claims.execution)
        if known is not None:
            known.expires = max(known.expires, claims.expires)
            return known
        self._prune(now, full=len(self._executions) >= self._most)
        if len(self._executions) >= self._most:
            return Exhausted(budget="executions", scope="profile", value=self._most, used=len(self._executions))
        account = Account("execution", terms.budgets.execution, tick)
        made = self._executions[claims.execution] = _Execution(account=account, expires=claims.expires)
        return made

    def _profile(self, terms: Terms, now: float, tick: float) -> Account:
        key = (terms.name, terms.budgets)
        known = self._profiles.get(key)
        if known is None:
            account = Account("profile", terms.budgets.profile, tick, self._share)
            known = self._profiles[key] = _Profile(account=account, since=now)
        if not 0 <= now - known.since < terms.budgets.window_s:
            known.since = now
            known.account.begin_anew()
        return known.account

    def _prune(self, now: float, *, full: bool) -> None:
        if full or now - self._pruned >= _PRUNE_S:
            self._pruned = now
            self._executions = {name: held for name, held in self._executions.items() if held.expires > now}
