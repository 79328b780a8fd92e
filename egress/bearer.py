"""The execution token of a request head."""

import base64
import binascii
from collections.abc import Iterable

from .request import Denial

_PROXY_AUTHENTICATION = 407


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | Denial:
    """The execution token of a request head: `Bearer TOKEN`, or the password of `Basic` for other clients."""
    values = [value for name, value in headers if name.lower() == b"proxy-authorization"]
    if len(values) != 1:
        what = "more than one" if values else "no"
        return Denial(code="token", reason=f"there is {what} Proxy-Authorization header", status=_PROXY_AUTHENTICATION)
    scheme, _, rest = values[0].decode("latin-1").partition(" ")
    token = rest.strip() if scheme.lower() == "bearer" else _password(rest) if scheme.lower() == "basic" else ""
    return token or Denial(code="token", reason="write Proxy-Authorization: Bearer TOKEN", status=_PROXY_AUTHENTICATION)


def _password(encoded: str) -> str:
    try:
        return base64.b64decode(encoded, validate=True).decode("latin-1").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""
