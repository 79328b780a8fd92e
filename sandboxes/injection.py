"""How a rule's credential is put on a request: one model for each form, told apart by `as`."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .model import FrozenModel
from .secret_name import SecretName

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)+")  # RFC 6901 section 3, without the whole document
_PLACEHOLDER = re.compile(r"[A-Za-z0-9_]+")
_HOP_BY_HOP = {"connection", "host", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect"}
_MIN_PLACEHOLDER = 12
_AUTHORIZATION = "header authorization"


def _check_header(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f'"{name}" is not a header name')
    if name.lower() in _HOP_BY_HOP or name.lower() == "proxy-authorization":
        raise ValueError(f'"{name}" belongs to the connection and cannot carry a secret')
    return name


def _check_cookie(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f'"{name}" is not the name of a cookie')
    return name


def _check_printable(text: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ValueError("only printable ASCII characters can be sent here")
    return text


def _check_username(name: str) -> str:
    if ":" in name or not name.isprintable():
        raise ValueError('a username is printable and has no ":"')
    return name


def _check_pointer(pointer: str) -> str:
    if not _POINTER.fullmatch(pointer):
        raise ValueError(f'"{pointer}" is not a JSON pointer below the document; write it like "/auth/token"')
    return pointer


def _check_placeholder(text: str) -> str:
    if not _PLACEHOLDER.fullmatch(text) or len(text) < _MIN_PLACEHOLDER:
        raise ValueError(
            f"a placeholder has at least {_MIN_PLACEHOLDER} letters, digits and _, so that no request has it by chance"
        )
    return text


HeaderName = Annotated[str, Field(max_length=200), AfterValidator(_check_header)]
Printable = Annotated[str, Field(max_length=200), AfterValidator(_check_printable)]
Place = Literal["header", "path", "query", "body"]


class _Injection(FrozenModel):
    secret: SecretName

    def redacted(self) -> str:
        """What may be shown of it: `ledger-token -> authorization: Bearer ***`."""
        return f"{self.secret} -> {self._shown()}"

    def takes(self) -> tuple[str, ...]:
        """The places of a request that are this credential's alone, such as `header authorization`."""
        raise NotImplementedError

    def _shown(self) -> str:
        raise NotImplementedError


class BearerInjection(_Injection):
    """`Authorization: Bearer SECRET` (RFC 6750 section 2.1)."""

    as_: Literal["bearer"] = Field("bearer", alias="as")

    def takes(self) -> tuple[str, ...]:
        """One header."""
        return (_AUTHORIZATION,)

    def _shown(self) -> str:
        return "authorization: Bearer ***"


class BasicInjection(_Injection):
    """`Authorization: Basic`, with the secret as password, or as `user:password` (RFC 7617 section 2)."""

    as_: Literal["basic"] = Field("basic", alias="as")
    username: Annotated[str, Field(max_length=200), AfterValidator(_check_username)] | None = Field(
        None, description="Without it the secret itself is user:password."
    )

    def takes(self) -> tuple[str, ...]:
        """One header."""
        return (_AUTHORIZATION,)

    def _shown(self) -> str:
        return "authorization: Basic ***"


class HeaderInjection(_Injection):
    """A header that holds the secret, behind a prefix if one is named."""

    as_: Literal["header"] = Field("header", alias="as")
    name: HeaderName = Field(description="The header that carries the secret.")
    prefix: Printable = Field("", description='What stands before the secret, such as "Token ".')

    def takes(self) -> tuple[str, ...]:
        """The named header."""
        return (f"header {self.name.lower().replace('_', '-')}",)

    def _shown(self) -> str:
        return f"{self.name.lower()}: {self.prefix}***"


class QueryInjection(_Injection):
    """A query parameter that holds the secret."""

    as_: Literal["query"] = Field("query", alias="as")
    name: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="The query parameter that carries the secret."
    )

    def takes(self) -> tuple[str, ...]:
        """The named parameter."""
        return (f"query parameter {self.name.lower()}",)

    def _shown(self) -> str:
        return f"?{self.name}=***"


class PathInjection(_Injection):
    """A path segment that holds the secret. Rules decide on the path without it."""

    as_: Literal["path"] = Field("path", alias="as")
    position: int = Field(ge=1, le=100, description="The segment it becomes, counted from 1; those behind it move on.")
    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9._~-]{0,100}$")] = Field(
        "", description='What stands before the secret in its segment, such as "bot".'
    )

    def takes(self) -> tuple[str, ...]:
        """The path: a second segment would be counted in another path."""
        return ("path",)

    def _shown(self) -> str:
        return f"path segment {self.position}: {self.prefix}***"


class CookieInjection(_Injection):
    """A cookie that holds the secret; the request's own cookies go."""

    as_: Literal["cookie"] = Field("cookie", alias="as")
    name: Annotated[str, Field(max_length=200), AfterValidator(_check_cookie)] = Field(
        description="The cookie that carries the secret."
    )

    def takes(self) -> tuple[str, ...]:
        """The header that holds all cookies."""
        return ("header cookie",)

    def _shown(self) -> str:
        return f"cookie: {self.name}=***"


class JsonInjection(_Injection):
    """A field of the request's JSON body that holds the secret."""

    as_: Literal["json"] = Field("json", alias="as")
    pointer: Annotated[str, Field(max_length=500), AfterValidator(_check_pointer)] = Field(
        description='Where it goes in the body: a JSON pointer (RFC 6901) such as "/auth/token".'
    )

    def takes(self) -> tuple[str, ...]:
        """The field and all below it."""
        return (f"field {self.pointer}",)

    def _shown(self) -> str:
        return f"body{self.pointer}: ***"


class PlaceholderInjection(_Injection):
    """A word that programs write where the secret belongs; it is replaced here and refused everywhere else."""

    as_: Literal["placeholder"] = Field("placeholder", alias="as")
    text: Annotated[str, Field(max_length=200), AfterValidator(_check_placeholder)] = Field(
        description="What programs write: at least 12 letters, digits and _."
    )
    places: tuple[Place, ...] = Field(("header",), min_length=1, description="Where in a request it is replaced.")

    def takes(self) -> tuple[str, ...]:
        """The word, in whatever case."""
        return (f"placeholder {self.text.lower()}",)

    def _shown(self) -> str:
        return f"{self.text} in {', '.join(self.places)}: ***"


class SigV4Injection(_Injection):
    """AWS Signature Version 4 over the request and its whole body."""

    as_: Literal["sigv4"] = Field("sigv4", alias="as")
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")] = Field(description="Such as eu-central-1.")
    service: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,60}$")] = Field(description="Such as s3 or bedrock.")
    access_key_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{16,128}$")] | None = Field(
        None, description="Without it the secret is JSON with AccessKeyId, SecretAccessKey and, if any, SessionToken."
    )

    def takes(self) -> tuple[str, ...]:
        """The headers of a signature."""
        return (_AUTHORIZATION, "header x-amz-date", "header x-amz-security-token", "header x-amz-content-sha256")

    def _shown(self) -> str:
        return f"authorization: AWS4-HMAC-SHA256 {self.region}/{self.service} ***"


class MutualTlsInjection(_Injection):
    """A client certificate on the connection: the secret is PEM, certificate chain and unencrypted key."""

    as_: Literal["mtls"] = Field("mtls", alias="as")

    def takes(self) -> tuple[str, ...]:
        """The connection's one certificate."""
        return ("client certificate",)

    def _shown(self) -> str:
        return "client certificate ***"


Injection = Annotated[
    BearerInjection
    | BasicInjection
    | HeaderInjection
    | QueryInjection
    | PathInjection
    | CookieInjection
    | JsonInjection
    | PlaceholderInjection
    | SigV4Injection
    | MutualTlsInjection,
    Field(discriminator="as_"),
]
"""Which credential the egress proxy adds to a request, and where."""
