"""Tokens whose signature was found to hold: a tunnel or a connection shows the same one with every request."""

import hashlib
from collections import OrderedDict
from typing import Final

from sandboxes.token import TokenClaims, TokenRefused, verify_token

_MOST: Final = 4_096


class KnownTokens:
    """Remembers tokens by their SHA-256, so that neither finding one nor its time says anything of another.

    Only that the signature holds is remembered. Expiry is looked at anew each time; whatever else may end a token is
    its caller's to check.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._claims: OrderedDict[bytes, TokenClaims] = OrderedDict()

    def verify(self, token: str, now: float) -> TokenClaims | TokenRefused:
        """As `verify_token`."""
        known = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        claims = self._claims.get(known)
        if claims is None:
            return self._verified(known, token, now)
        if now >= claims.expires:
            del self._claims[known]
            return TokenRefused(code="expired", reason="the execution token has expired")
        self._claims.move_to_end(known)
        return claims

    def _verified(self, known: bytes, token: str, now: float) -> TokenClaims | TokenRefused:
        claims = verify_token(token, self._key, now)
        if isinstance(claims, TokenClaims):
            self._claims[known] = claims
            if len(self._claims) > _MOST:
                self._claims.popitem(last=False)
        return claims
