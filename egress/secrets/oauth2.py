"""Access tokens of OAuth 2.0: client credentials (RFC 6749 section 4.4) and refresh tokens (section 6)."""

import base64
import json
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote_plus, urlencode

from sandboxes.secret_source import OAuth2Source

from .backend import UnavailableError
from .cached import Fetched
from .token_client import Reply, TokenClient

_TOKEN = re.compile(r"[\x21-\x7e]+")
_DEFAULT_LIFETIME_S = 300.0
_LONGEST_LIFETIME_S = 24 * 3600.0
# RFC 6749 section 5.2: the only words of an error answer that are repeated.
_ERRORS = frozenset(
    (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    )
)


class OAuth2:
    """Fetches one secret's access tokens. A refresh token that the server replaces is kept until the process ends."""

    def __init__(self, source: OAuth2Source, client: TokenClient, text: Callable[[str], Awaitable[str]]) -> None:
        self._source = source
        self._client = client
        self._text = text
        self._replaced: tuple[str, str] | None = None  # (the configured refresh token, the one that took its place)

    async def fetch(self) -> Fetched:
        """A new token. Raises UnavailableError."""
        source = self._source
        secret = await self._text(source.client_secret) if source.client_secret else None
        form, configured = await self._form()
        headers = {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        if secret is not None and source.client_auth == "basic":
            headers["authorization"] = _basic(source.client_id, secret)
        else:
            form["client_id"] = source.client_id
            form |= {"client_secret": secret} if secret is not None else {}
        reply = await self._client.post(source.token_url, headers, urlencode(form).encode(), source.networks)
        answer = _granted(reply)
        newer = answer.get("refresh_token")
        if configured is not None and isinstance(newer, str) and newer:
            self._replaced = (configured, newer)
        return Fetched(answer["access_token"].encode(), lifetime(answer.get("expires_in")))

    async def _form(self) -> tuple[dict[str, str], str | None]:
        """The grant's parameters, and the configured refresh token if it is one's."""
        source = self._source
        form: dict[str, str] = {"grant_type": source.grant}
        form |= {"scope": " ".join(source.scopes)} if source.scopes else {}
        form |= {"audience": source.audience} if source.audience else {}
        if source.refresh_token is None:
            return form, None
        configured = await self._text(source.refresh_token)
        replaced = self._replaced
        form["refresh_token"] = replaced[1] if replaced and replaced[0] == configured else configured
        return form, configured


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749 section 2.3.1: both parts form-encoded first."""
    return "Basic " + base64.b64encode(f"{quote_plus(client_id)}:{quote_plus(secret)}".encode()).decode()


def _granted(reply: Reply) -> dict[str, Any]:
    try:
        answer = json.loads(reply.body)
    except (ValueError, RecursionError):
        answer = None
    if reply.status != 200:  # noqa: PLR2004 - OK, the one status a token comes with (RFC 6749 section 5.1)
        said = answer.get("error") if isinstance(answer, dict) else None
        raise UnavailableError(f"its token endpoint answered {reply.status}{f' ({said})' if said in _ERRORS else ''}")
    if not isinstance(answer, dict) or not is_token(answer.get("access_token")):
        raise UnavailableError("its token endpoint answered no access token that can be sent")
    if str(answer.get("token_type", "bearer")).lower() != "bearer":
        raise UnavailableError("its token endpoint gives tokens of another type than bearer")
    return answer


def is_token(value: object) -> bool:
    """Whether it is text of printable characters without spaces, and so without CR, LF and NUL."""
    return isinstance(value, str) and _TOKEN.fullmatch(value) is not None


def lifetime(said: object) -> float:
    """Seconds, bounded; five minutes where a server does not say."""
    try:
        seconds = float(str(said))
    except ValueError:
        return _DEFAULT_LIFETIME_S
    return min(max(seconds, 1.0), _LONGEST_LIFETIME_S) if seconds == seconds else _DEFAULT_LIFETIME_S  # noqa: PLR0124
