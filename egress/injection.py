"""Puts a credential on a request, and takes every other credential off it."""

import base64
import re
from dataclasses import dataclass
from urllib.parse import quote

from sandboxes.injection import Injection

from .secrets import Secret

Headers = list[tuple[bytes, bytes]]

# What else might identify the client to the upstream. Removed whenever a credential is added.
_CREDENTIAL_HEADERS = frozenset(
    (
        b"authorization",
        b"cookie",
        b"x-api-key",
        b"api-key",
        b"apikey",
        b"x-auth-token",
        b"x-access-token",
        b"x-csrf-token",
        b"private-token",
        b"job-token",
        b"x-goog-api-key",
        b"x-amz-security-token",
    )
)


@dataclass(frozen=True, slots=True)
class Credentialed:
    """A request with its credential on, and the byte strings that must not come back."""

    headers: Headers
    query: str | None
    needles: tuple[tuple[str, bytes], ...]


def inject(injection: Injection, secret: Secret, headers: Headers, query: str | None) -> Credentialed:
    """The request's headers and query with the credential, every other one removed. Raises ValueError if it cannot."""
    value = secret.expose()
    kept = [(name, text) for name, text in headers if name.lower() not in _CREDENTIAL_HEADERS]
    plain = (secret.name, value)
    match injection.as_:
        case "bearer":
            return Credentialed([*kept, (b"authorization", b"Bearer " + value)], query, (plain,))
        case "basic":
            encoded = base64.b64encode(_userpass(injection, value))
            header = (b"authorization", b"Basic " + encoded)
            return Credentialed([*kept, header], query, (plain, (secret.name, encoded)))
        case "header":
            name = (injection.name or "").encode().lower()
            kept = [(other, text) for other, text in kept if other.lower() != name]
            return Credentialed([*kept, (name, value)], query, (plain,))
        case "query":
            encoded = quote(value, safe="").encode()
            asked = _with_parameter(query, injection.name or "", encoded)
            return Credentialed(kept, asked, (plain, (secret.name, encoded)))


def _userpass(injection: Injection, value: bytes) -> bytes:
    if injection.username is not None:
        return f"{injection.username}:".encode() + value
    if b":" not in value:
        raise ValueError(f'secret "{injection.secret}" is not user:password; give the rule a username')
    return value


def _with_parameter(query: str | None, name: str, encoded: bytes) -> str:
    """The query with the parameter once, at the end; servers that read `;` as a separator are considered too."""
    quoted = quote(name, safe="")
    same = {name.lower(), quoted.lower()}
    parts = [part for part in re.split("[&;]", query or "") if part and part.partition("=")[0].lower() not in same]
    return "&".join([*parts, f"{quoted}={encoded.decode()}"])
