"""Takes off a request what might identify its sender to the upstream, so that only the injected credential does."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from urllib.parse import unquote_plus

from egress.outgoing import Outgoing

# Compared in lower case and with "-" for "_": servers that make variables of headers read both alike.
CREDENTIAL_HEADERS = frozenset(
    (
        b"authentication",
        b"authorization",
        b"cookie",
        b"cookie2",
        b"ocp-apim-subscription-key",
        b"proxy-authorization",
        b"x-amz-content-sha256",
        b"x-amz-date",
        b"x-amz-security-token",
        b"x-amz-signature",
        b"x-amzn-oidc-data",
        b"x-csrf-token",
        b"x-forwarded-user",
        b"x-functions-key",
        b"x-goog-iam-authorization-token",
        b"x-ms-client-principal",
        b"x-remote-user",
        b"x-xsrf-token",
    )
)
# And those that end in what credentials are called: x-api-key, private-token, cf-access-client-secret, dd-api-key, ...
_CREDENTIAL_ENDING = re.compile(
    rb"(?:^|.*-)(?:api-?key|app(?:lication)?-?key|access-?key(?:-id)?|auth(?:-?key|-?email|orization)?|"
    rb"(?:access|api|auth|bearer|id|job|private|refresh|secret|security|service|session|shopify-access|user|vault|"
    rb"github|gitlab|figma|access-client|deploy)-?token|x-token|token|secret|password|passwd|credentials?|assertion|"
    rb"session(?:-?id)?|client-(?:id|secret|cert)|signature)"
)
_HARMLESS = re.compile(rb".*-?(?:continuation|next|page|sync|cancellation|idempotency|mutation)-?token")
# Decoded and in lower case.
CREDENTIAL_PARAMETERS = frozenset(
    (
        "access_token",
        "api-key",
        "api_key",
        "apikey",
        "auth_token",
        "awsaccesskeyid",
        "client_assertion",
        "client_secret",
        "id_token",
        "oauth_signature",
        "oauth_token",
        "private_token",
        "refresh_token",
        "x-amz-credential",
        "x-amz-security-token",
        "x-amz-signature",
        "x-goog-credential",
        "x-goog-signature",
    )
)


def canonical_name(name: bytes) -> bytes:
    """A header's name as servers that are lax about it read it."""
    return name.lower().replace(b"_", b"-")


@lru_cache(2_000)
def is_credential_header(name: bytes) -> bool:
    """Whether a header of this name may say who sends the request."""
    plain = canonical_name(name)
    if plain in CREDENTIAL_HEADERS:
        return True
    return _CREDENTIAL_ENDING.fullmatch(plain) is not None and _HARMLESS.fullmatch(plain) is None


def parameter_name(part: str) -> str:
    """The name of a query's part, decoded and in lower case."""
    return unquote_plus(part.partition("=")[0]).lower()


def without_parameters(query: str | None, drop: Callable[[str], bool]) -> str | None:
    """The query without the parts that `drop` says yes to; `;` is a separator too, as some servers read it."""
    if query is None or not any(drop(part) for part in re.split("[&;]", query)):
        return query
    return "&".join(part for part in re.split("[&;]", query) if part and not drop(part)) or None


def without_credentials(
    request: Outgoing,
    keep: Callable[[bytes, bytes], bool] = lambda *_: False,
    keep_part: Callable[[str], bool] = lambda _: False,
) -> Outgoing:
    """The request without credentials in headers and query, but for what `keep` and `keep_part` claim."""
    headers = tuple(
        (name, value) for name, value in request.headers if not is_credential_header(name) or keep(name, value)
    )
    query = without_parameters(
        request.query, lambda part: parameter_name(part) in CREDENTIAL_PARAMETERS and not keep_part(part)
    )
    return replace(request, headers=headers, query=query)
