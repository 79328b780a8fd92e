"""Which credential the egress proxy adds to a request, and where."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from .model import FrozenModel

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_HOP_BY_HOP = {"connection", "host", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect"}

SecretName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Name of a secret, not its value")
]


class Injection(FrozenModel):
    """Which credential the egress proxy adds to a request, and where."""

    secret: SecretName
    as_: Literal["bearer", "header", "basic", "query"] = Field(alias="as", description="How the secret is carried.")
    name: str | None = Field(None, description="Header (as: header) or query parameter (as: query).")
    username: str | None = Field(None, description="as: basic; without it the secret itself is user:password.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.as_ in {"header", "query"} and not self.name:
            what = "header" if self.as_ == "header" else "query parameter"
            raise ValueError(f"as: {self.as_} needs name, the {what} that carries the secret")
        if self.as_ in {"bearer", "basic"} and self.name is not None:
            raise ValueError(
                f"as: {self.as_} always uses the authorization header; leave name out, or write as: header"
            )
        if self.username is not None and (self.as_ != "basic" or ":" in self.username):
            raise ValueError('username goes with as: basic only, and has no ":"')
        if self.as_ == "header" and not _TOKEN.fullmatch(self.name or ""):
            raise ValueError(f'"{self.name}" is not a header name')
        if self.as_ == "header" and (self.name or "").lower() in _HOP_BY_HOP:
            raise ValueError(f'"{self.name}" belongs to the connection and cannot carry a secret')
        return self

    def redacted(self) -> str:
        """What may be shown of it: `ledger-token -> authorization: Bearer ***`."""
        match self.as_:
            case "bearer":
                return f"{self.secret} -> authorization: Bearer ***"
            case "basic":
                return f"{self.secret} -> authorization: Basic ***"
            case "header":
                return f"{self.secret} -> {(self.name or '').lower()}: ***"
            case "query":
                return f"{self.secret} -> ?{self.name}=***"
