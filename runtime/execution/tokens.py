"""Execution tokens for the egress proxy, minted per execution and rule set."""

import time
from collections.abc import Callable

from runtime.execution.caller import Caller
from sandboxes.token import SERVICE, TokenClaims, sign_token

_GRACE_S = 5


class ExecutionTokens:
    """The tokens of one execution: from a rule set's digest to a token that outlives the execution by seconds only."""

    def __init__(self, sign: Callable[[str, int], str], expires: int) -> None:
        self._sign = sign
        self._made: dict[str, str] = {}
        self.expires = expires

    def __call__(self, rules: str) -> str:
        """The token for requests under these rules."""
        if rules not in self._made:
            self._made[rules] = self._sign(rules, self.expires)
        return self._made[rules]

    def __bool__(self) -> bool:
        """Whether any was made, so that there is something to revoke."""
        return bool(self._made)


class TokenMint:
    """Signs tokens with the key this cell's egress proxy was started with, and revokes them.

    `generation` is the present one of the configuration. `on_revoked` is told an execution and when its last token
    expires.
    """

    def __init__(self, key: bytes, generation: int = 0) -> None:
        self._key = key
        self.generation = generation
        self.on_revoked: Callable[[str, int], None] = lambda _execution, _expires: None

    def for_execution(self, execution_id: str, caller: Caller, profile: str, lifetime_s: float) -> ExecutionTokens:
        """Tokens of an execution under the profile with the digest `profile`."""
        generation = self.generation

        def sign(rules: str, expires: int) -> str:
            claims = TokenClaims(
                execution=execution_id,
                profile=profile,
                rules=rules,
                actor=caller.actor,
                environment=caller.environment,
                expires=expires,
                generation=generation,
            )
            return sign_token(claims, self._key)

        return ExecutionTokens(sign, int(min(time.time() + lifetime_s, caller.expires_at)) + _GRACE_S)

    def for_service(self, purpose: str, rules: str, lifetime_s: float = 3_600) -> str:
        """A token for what the gateway does itself: loading documents, keeping MCP connections."""
        claims = TokenClaims(
            execution=f"{SERVICE}:{purpose}",
            profile=SERVICE,
            rules=rules,
            actor="lockgate",
            environment=SERVICE,
            expires=int(time.time() + lifetime_s),
            generation=self.generation,
        )
        return sign_token(claims, self._key)

    def revoke(self, execution_id: str, tokens: ExecutionTokens) -> None:
        """The execution is over: nothing it may have left behind may use its tokens."""
        if tokens:
            self.on_revoked(execution_id, tokens.expires)
