"""Execution tokens for the egress proxy, minted per execution and rule set."""

import time
from collections.abc import Callable

from runtime.execution.caller import Caller
from sandboxes.token import TokenClaims, sign_token

_GRACE_S = 5


class TokenMint:
    """Signs tokens with the key this cell's egress proxy was started with."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def for_execution(self, execution_id: str, caller: Caller, lifetime_s: float) -> Callable[[str], str]:
        """A function from a rule set's digest to a token that outlives the execution by seconds only."""
        expires = int(min(time.time() + lifetime_s, caller.expires_at)) + _GRACE_S
        made: dict[str, str] = {}

        def token(rules: str) -> str:
            if rules not in made:
                made[rules] = self._sign(execution_id, caller.actor, caller.environment, rules, expires)
            return made[rules]

        return token

    def for_service(self, purpose: str, rules: str, lifetime_s: float = 3_600) -> str:
        """A token for what the gateway does itself: loading documents, keeping MCP connections."""
        return self._sign(f"service:{purpose}", "lockgate", "service", rules, int(time.time() + lifetime_s))

    def _sign(self, execution_id: str, actor: str, environment: str, rules: str, expires: int) -> str:
        claims = TokenClaims(execution=execution_id, rules=rules, actor=actor, environment=environment, expires=expires)
        return sign_token(claims, self._key)
