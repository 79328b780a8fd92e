"""Where durable records are kept, as an operator writes it in lockgate.yaml. Never a password itself."""

import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from sandboxes.limits import Size

_DEFAULT_PORT = 5432
_SOCKET = re.compile(r"host=(/|%2[Ff])[^&#]*")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is not None:
        raise ValueError("the URL has a password, which does not belong here: name a file or a variable under password")
    if parts.scheme != "postgresql" or not parts.username or len(parts.path) < len("/x") or parts.fragment:
        raise ValueError(f'"{url}" is not of the form postgresql://user@host:port/database')
    socket = _SOCKET.fullmatch(parts.query)
    if (socket is None) == (parts.hostname is None) or (parts.query and socket is None):
        raise ValueError("the URL names either a host, or ?host=/directory of a UNIX socket, and nothing else")
    _ = parts.port  # raises ValueError if it is none
    return url


StoreUrl = Annotated[str, Field(max_length=2_000), AfterValidator(_check_url)]


class StoreQuotas(_Model):
    """Bytes of what is put in: journals, results, files. What the database adds is not counted."""

    tenant_bytes: Size = Field(1 << 30, ge=1 << 20, le=1 << 50, description="Of one owner under one principal.")
    bytes: Size = Field(8 << 30, ge=1 << 20, le=1 << 50, description="Of all.")


class StoreRetention(_Model):
    """How long records outlive their execution. What an open session is rebuilt from stays."""

    ended_s: int = Field(
        7 * 86_400, ge=60, le=10 * 366 * 86_400, description="An ended execution is removed after that many seconds."
    )
    ended: int = Field(100_000, ge=0, le=100_000_000, description="Ended executions kept; the oldest go first.")
    session_s: int = Field(
        7 * 86_400, ge=60, le=366 * 86_400, description="A session that nobody has used for so long is removed."
    )


class _Store(_Model):
    quotas: StoreQuotas = Field(default_factory=StoreQuotas, description="What it may hold.")
    retention: StoreRetention = Field(default_factory=StoreRetention, description="What is removed, and when.")


class SqliteStore(_Store):
    """A file on this machine. Not on a network file system: SQLite's locks do not hold there."""

    kind: Literal["sqlite"] = "sqlite"
    path: str | None = Field(None, description="The file; store.sqlite in the state directory if left out.")


class StorePassword(_Model):
    """Where the gateway's password is found: exactly one of the two."""

    env: str | None = Field(None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="An environment variable.")
    file: str | None = Field(None, description="A file; a newline at its end is not part of the password.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a password is found by env or by file: write one of the two")
        return self


class PostgresStore(_Store):
    """A PostgreSQL server, 15 or newer."""

    kind: Literal["postgres"]
    url: StoreUrl = Field(description="postgresql://user@host:port/database, without the password.")
    password: StorePassword | None = Field(None, description="Where the password is; none where it takes none.")
    tls: bool | None = Field(
        None, description="TLS, with a certificate that is verified and names the host; left out: not on loopback."
    )
    ca_file: str | None = Field(None, description="PEM certificates it is verified by, instead of the system's.")

    @property
    def port(self) -> int | None:
        """The server's; None for a UNIX socket."""
        parts = urlsplit(self.url)
        return parts.port or _DEFAULT_PORT if parts.hostname else None

    @property
    def speaks_tls(self) -> bool:
        """What `tls` says, or else whether the server is not on this machine."""
        if self.tls is not None:
            return self.tls
        return urlsplit(self.url).hostname not in {None, "127.0.0.1", "::1", "localhost"}


def _kind_of(value: Any) -> str | None:
    held = value if isinstance(value, dict) else {"kind": getattr(value, "kind", None)}
    kind = held.get("kind", "sqlite")
    return kind if kind in {"sqlite", "postgres"} else None


StoreConfig = Annotated[
    Annotated[SqliteStore, Tag("sqlite")] | Annotated[PostgresStore, Tag("postgres")],
    Discriminator(
        _kind_of,
        custom_error_type="store_kind",
        custom_error_message="write kind: sqlite, which is the default, or kind: postgres with a url",
    ),
]
