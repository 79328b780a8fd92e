"""Installation tokens of a GitHub App: a JSON Web Token signed with the App's key, exchanged for a token of an hour."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from sandboxes.secret_source import GitHubAppSource

from .backend import UnavailableError
from .cached import Fetched
from .oauth2 import is_token, lifetime
from .token_client import Reply, TokenClient

_JWT_LIFETIME_S = 540  # GitHub takes ten minutes at most
_CLOCK_SKEW_S = 60
_CREATED = 201


class GitHubApp:
    """Fetches one installation's tokens, narrowed to the repositories and permissions of its source."""

    def __init__(self, source: GitHubAppSource, client: TokenClient, text: Callable[[str], Awaitable[str]]) -> None:
        self._source = source
        self._client = client
        self._text = text

    async def fetch(self) -> Fetched:
        """A new token. Raises UnavailableError."""
        source = self._source
        headers = {
            "authorization": f"Bearer {_signed(source.app_id, await self._text(source.private_key))}",
            "accept": "application/vnd.github+json",
            "content-type": "application/json",
            "user-agent": "lockgate",
            "x-github-api-version": "2022-11-28",
        }
        wanted: dict[str, Any] = {"repositories": list(source.repositories)} if source.repositories else {}
        wanted |= {"permissions": dict(source.permissions)} if source.permissions else {}
        url = f"{source.url.rstrip('/')}/app/installations/{source.installation_id}/access_tokens"
        reply = await self._client.post(url, headers, json.dumps(wanted).encode(), source.networks)
        return _created(reply)


def _signed(app_id: str, key: str) -> str:
    import jwt  # noqa: PLC0415 - only proxies with a GitHub App need it

    now = int(time.time())
    claims = {"iat": now - _CLOCK_SKEW_S, "exp": now + _JWT_LIFETIME_S, "iss": app_id}
    try:
        return jwt.encode(claims, key, algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        pass
    raise UnavailableError("the App's private key is not an RSA key in PEM")


def _created(reply: Reply) -> Fetched:
    if reply.status != _CREATED:
        raise UnavailableError(f"GitHub answered {reply.status} to the request for an installation token")
    try:
        answer = json.loads(reply.body)
        token, expires = answer["token"], datetime.fromisoformat(answer["expires_at"])
        left = (expires - datetime.now(UTC)).total_seconds()
    except (ValueError, KeyError, TypeError, RecursionError):
        token, left = None, 0.0
    if not is_token(token):
        raise UnavailableError("GitHub's answer has no installation token that can be sent")
    return Fetched(token.encode(), lifetime(left))
