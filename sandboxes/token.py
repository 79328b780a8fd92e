"""Execution tokens: whom the egress proxy acts for, and by which rules, for a short while.

Form: base64url(claims as JSON array) "." base64url(HMAC-SHA256 of the first part). No padding, ASCII only.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Literal

_VERSION = 2
_MAX_LENGTH = 4096
_FIELDS = 9
MIN_KEY_BYTES = 32
MOST_LIFETIME_S = 86_400
"""How far ahead a token may expire: after that long, no token can name what has been replaced."""

AUDIENCE = "lockgate-egress"
"""Whom these tokens are for. A token for anybody else, signed with the same key, opens nothing here."""

SERVICE = "service"
"""In place of a profile's digest: what the gateway does on its own behalf, such as loading an API's document."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenClaims:
    """What a token says. `expires` is in Unix seconds.

    `profile` is the digest of the profile the execution runs under, or SERVICE; `rules` that of the rule set its
    requests are decided by, the profile's own or an upstream's; `generation` that of the configuration when it began.
    """

    execution: str
    profile: str
    rules: str
    actor: str
    environment: str
    expires: int
    generation: int = 0
    audience: str = AUDIENCE


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRefused:
    """Why a token is not accepted. Says nothing of the token's content unless its signature held."""

    code: Literal["malformed", "signature", "audience", "lifetime", "expired"]
    reason: str


def sign_token(claims: TokenClaims, key: bytes) -> str:
    """A token for `claims`. Raises ValueError if the key is too short or a claim is missing or of the wrong type."""
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"the token key has {len(key)} bytes; it needs {MIN_KEY_BYTES}")
    fields = [
        _VERSION, claims.audience, claims.execution, claims.profile, claims.rules, claims.actor, claims.environment,
        claims.expires, claims.generation,
    ]  # fmt: skip
    if not _well_formed(fields):
        raise ValueError(
            "a token needs execution, profile, rules, actor, environment and audience as text, and whole seconds"
        )
    payload = _encode(json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode())
    token = f"{payload}.{_encode(_mac(payload.encode(), key))}"
    if len(token) > _MAX_LENGTH:
        raise ValueError(f"the token would have {len(token)} characters; at most {_MAX_LENGTH} are accepted")
    return token


def verify_token(token: str, key: bytes, now: float) -> TokenClaims | TokenRefused:
    """The claims of a token whose signature holds and whose time has not passed, or why not. `now` in Unix seconds."""
    payload, _, signature = token.partition(".")
    if len(token) > _MAX_LENGTH or not token.isascii() or not payload or not signature:
        return TokenRefused(code="malformed", reason="the execution token is malformed")
    # The signature is compared as text, so that one token has one spelling.
    if not hmac.compare_digest(_encode(_mac(payload.encode(), key)), signature):
        return TokenRefused(code="signature", reason="the execution token's signature does not hold")
    claims = _claims(payload)
    if claims is None:
        return TokenRefused(code="malformed", reason="the execution token's claims are malformed")
    if claims.audience != AUDIENCE:
        return TokenRefused(code="audience", reason="the token is for somebody else than the egress proxy")
    if claims.expires - now > MOST_LIFETIME_S:
        return TokenRefused(code="lifetime", reason=f"the execution token lives longer than {MOST_LIFETIME_S} s")
    if now >= claims.expires:
        return TokenRefused(code="expired", reason="the execution token has expired")
    return claims


def _claims(payload: str) -> TokenClaims | None:
    try:
        fields = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return None
    if not isinstance(fields, list) or not _well_formed(fields):
        return None
    _, audience, execution, profile, rules, actor, environment, expires, generation = fields
    return TokenClaims(
        execution=execution, profile=profile, rules=rules, actor=actor, environment=environment, expires=expires,
        generation=generation, audience=audience,
    )  # fmt: skip


def _well_formed(fields: list[object]) -> bool:
    if len(fields) != _FIELDS or fields[0] != _VERSION:
        return False
    texts, numbers = fields[1:7], fields[7:]
    return all(isinstance(text, str) and text for text in texts) and all(type(number) is int for number in numbers)


def _mac(payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, payload, hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
