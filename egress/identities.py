"""Who a request is made for: its token genuine, not expired or revoked, for rules and a profile that are loaded.

Security boundary.
"""

from sandboxes.budgets import Terms
from sandboxes.shard import shard_of
from sandboxes.token import TokenClaims, TokenRefused

from .generations import Generations
from .known_tokens import KnownTokens
from .request import Denial
from .revocations import Revocations

_PROXY_AUTHENTICATION = 407
_MISDIRECTED = 421


class Identities:
    """Checks tokens. `shard`: the number of this process and how many there are; it serves its own executions only."""

    def __init__(self, key: bytes, generations: Generations, shard: tuple[int, int] | None = None) -> None:
        self._tokens = KnownTokens(key)
        self._generations = generations
        self._shard = shard
        self.revocations = Revocations()

    def identify(self, token: str | Denial, now: float) -> TokenClaims | Denial:
        """Who a token speaks for, if it still does."""
        if isinstance(token, Denial):
            return token
        claims = self._tokens.verify(token, now)
        if isinstance(claims, TokenRefused):
            return Denial(code="token", reason=claims.reason, status=_PROXY_AUTHENTICATION)
        if self.revocations.covers(claims):
            return Denial(code="token", reason="the execution token was revoked", status=_PROXY_AUTHENTICATION)
        if self._shard is not None and shard_of(claims.execution, self._shard[1]) != self._shard[0]:
            reason = "another egress process has this execution; open a connection of its own for each token"
            return Denial(code="misdirected", reason=reason, status=_MISDIRECTED)
        fault = self._fault(claims)
        return Denial(code="token", reason=fault) if fault else claims

    def terms(self, claims: TokenClaims) -> Terms:
        """Of the profile that an accepted token names. Raises LookupError for one that is not loaded."""
        terms = self._generations.terms(claims.profile)
        if terms is None:
            raise LookupError("an accepted token names a profile that is not loaded")
        return terms

    def _fault(self, claims: TokenClaims) -> str | None:
        """Why a genuine token is of no use here, or None."""
        terms = self._generations.terms(claims.profile)
        if not self._generations.knows(claims.rules):
            return "the execution token names rules that are not loaded"
        if terms is None:
            return "the execution token names a profile that is not loaded"
        if claims.environment not in terms.environments:
            return f"profile {terms.name} is not for the environment {claims.environment}"
        if claims.generation > self._generations.number:
            return f"the execution token is of generation {claims.generation}, which is not loaded"
        return None
