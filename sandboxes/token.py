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

_VERSION = 1
_MAX_LENGTH = 4096
MIN_KEY_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenClaims:
    """What a token says. `rules` is the digest of a RuleSet; `expires` is in Unix seconds."""

    execution: str
    rules: str
    actor: str
    environment: str
    expires: int
    generation: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRefused:
    """Why a token is not accepted. Says nothing of the token's content unless its signature held."""

    code: Literal["malformed", "signature", "expired"]
    reason: str


def sign_token(claims: TokenClaims, key: bytes) -> str:
    """A token for `claims`. Raises ValueError if the key is too short or a claim is missing or of the wrong type."""
    if len(key) < MIN_KEY_BYTES:
        raise ValueError(f"the token key has {len(key)} bytes; it needs {MIN_KEY_BYTES}")
    fields = [
        _VERSION, claims.execution, claims.rules, claims.actor, claims.environment, claims.expires, claims.generation,
    ]  # fmt: skip
    if not _well_formed(fields):
        raise ValueError("a token needs execution, rules, actor and environment as text, and expires as whole seconds")
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
    _, execution, rules, actor, environment, expires, generation = fields
    return TokenClaims(
        execution=execution, rules=rules, actor=actor, environment=environment, expires=expires, generation=generation
    )


def _well_formed(fields: list[object]) -> bool:
    if len(fields) != 7 or fields[0] != _VERSION:  # noqa: PLR2004 - the version and six claims
        return False
    texts, numbers = fields[1:5], fields[5:]
    return all(isinstance(text, str) and text for text in texts) and all(type(number) is int for number in numbers)


def _mac(payload: bytes, key: bytes) -> bytes:
    return hmac.digest(key, payload, hashlib.sha256)


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
