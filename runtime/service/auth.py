"""Bearer tokens at the edge."""

import hashlib
import hmac
from collections.abc import Iterable

PRINCIPAL = "local"
"""The one principal there is until tokens are issued to more than one."""

_SCHEME = "bearer "


class Authenticator:
    """Knows the digest of the service's token and compares in constant time."""

    def __init__(self, token: str) -> None:
        self._digest = hashlib.sha256(token.encode()).digest()

    def principal(self, authorization: str | None) -> str | None:
        """Whom an `Authorization` value proves, or None."""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return None
        return self.bearer(authorization[len(_SCHEME) :].strip())

    def bearer(self, token: str) -> str | None:
        """Whom a token proves, or None."""
        given = hashlib.sha256(token.encode(errors="replace")).digest()
        return PRINCIPAL if hmac.compare_digest(given, self._digest) else None


def authorization_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> str | None:
    """The `authorization` entry of a call's metadata; None if there is none, or more than one."""
    values = [value for key, value in metadata or () if key == "authorization"]
    if len(values) != 1:
        return None
    return values[0] if isinstance(values[0], str) else values[0].decode(errors="replace")
