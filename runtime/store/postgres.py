"""PostgreSQL as a store's database, through pg8000: prepared statements for the writer, SQLAlchemy for the rest."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from pg8000 import dbapi, native
from pg8000.exceptions import DatabaseError
from pydantic import SecretStr
from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine, QueuePool, create_engine, text

from runtime.store.connection import READERS, Connection, Fault
from runtime.store.statement import Statement

CONNECT_S: Final = 5.0
"""How long anything may take on the network: connecting, or one answer."""
LOCK_WAIT_S: Final = 2.0
_MIGRATION_LOCK = 0x6C6F636B
_CLAIM_LOCK = 0x6C6F636C
_DEFAULT_PORT = 5432

# By SQLSTATE or its first two digits: https://www.postgresql.org/docs/current/errcodes-appendix.html
_REASONS = {
    "08": "the connection to PostgreSQL broke",
    "25006": "PostgreSQL is read-only: it is a standby, or was told so",
    "28": "PostgreSQL refused the user or the password",
    "3D000": "PostgreSQL does not have the database that the configuration names",
    "40": "PostgreSQL chose this transaction to fail among several at once",
    "42501": "PostgreSQL's user may not use the store's tables",
    "53100": "PostgreSQL's disk is full; free space",
    "53": "PostgreSQL is out of memory, connections or disk",
    "55": "another transaction has held a lock on the store for too long",
    "57": "PostgreSQL is shutting down or starting, or ended the connection",
    "58": "PostgreSQL's disk fails; look at its log",
    "XX": "PostgreSQL reports damage; look at its log",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """Where PostgreSQL is, and as whom. `socket` is a directory with its UNIX socket, in the place of `host`."""

    user: str
    database: str
    host: str = ""
    port: int = _DEFAULT_PORT
    socket: str = ""
    password: SecretStr | None = None
    tls: bool = True
    ca_file: str | None = None

    @classmethod
    def of(cls, url: str, password: SecretStr | None, *, tls: bool = True, ca_file: str | None = None) -> Self:
        """From `postgresql://user@host:port/database`, or `postgresql://user@/database?host=/directory`."""
        parts = urlsplit(url)
        socket = unquote(parts.query.removeprefix("host="))
        return cls(
            user=unquote(parts.username or ""),
            database=unquote(parts.path.removeprefix("/")),
            host=parts.hostname or "",
            port=parts.port or _DEFAULT_PORT,
            socket=socket,
            password=password,
            tls=tls and not socket,
            ca_file=ca_file,
        )

    def arguments(self) -> dict[str, Any]:
        """For pg8000. TLS checks the server's certificate and name, or is off: nothing between."""
        place: dict[str, Any] = {"host": self.host, "port": self.port}
        if self.socket:
            place = {"unix_sock": str(Path(self.socket) / f".s.PGSQL.{self.port}")}
        return place | {
            "user": self.user,
            "database": self.database,
            "password": None if self.password is None else self.password.get_secret_value(),
            "ssl_context": ssl.create_default_context(cafile=self.ca_file) if self.tls else False,
            "timeout": CONNECT_S,
            "application_name": "lockgate",
            "startup_params": {
                "lock_timeout": f"{LOCK_WAIT_S * 1000:.0f}",
                "statement_timeout": f"{CONNECT_S * 1000:.0f}",
                "idle_in_transaction_session_timeout": "60000",
                "synchronous_commit": "on",
            },
        }


@dataclass(slots=True)
class PostgresConnection:
    """The writer's own: see Connection. Every statement is prepared at its first use, so that it is one round trip."""

    _connection: native.Connection
    _prepared: dict[str, native.PreparedStatement] = field(default_factory=dict)

    def run(self, statement: Statement, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Rows that it gives back."""
        prepared = self._prepared.get(statement.text)
        if prepared is None:
            prepared = self._prepared[statement.text] = self._connection.prepare(statement.text)
        return prepared.run(**dict(zip(statement.names, values, strict=True))) or ()

    def command(self, text: str) -> None:
        """A statement without parameters."""
        self._connection.run(text)

    def close(self) -> None:
        """Never fails."""
        try:
            self._connection.close()
        except Exception:  # noqa: BLE001 - of a broken connection, anything may come
            return


class PostgresDatabase:
    """See Database."""

    begin = "BEGIN"

    def __init__(self, login: Login) -> None:
        self._login = login
        self._claimed: native.Connection | None = None
        self.engine: Engine = create_engine(
            "postgresql+pg8000://",
            creator=lambda: dbapi.connect(**login.arguments()),
            isolation_level="AUTOCOMMIT",
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
        )

    def claim(self) -> bool:
        """By an advisory lock of a connection that does nothing else; if that breaks, another may have it."""
        if self._claimed is None:
            connection = native.Connection(**self._login.arguments())
            if not connection.run(f"SELECT pg_try_advisory_lock({_CLAIM_LOCK})")[0][0]:
                connection.close()
                return False
            self._claimed = connection
        return True

    def connect(self) -> Connection:
        """The writer's connection. Raises pg8000's errors, OSError."""
        return PostgresConnection(native.Connection(**self._login.arguments()))

    @contextmanager
    def exclusive(self) -> Iterator[Transaction]:
        """A transaction that no other of these runs beside."""
        connected = self.engine.connect().execution_options(isolation_level="READ COMMITTED")
        with connected as connection, connection.begin():
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = '60s'"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """A transaction that only reads."""
        connected = self.engine.connect().execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connected as connection, connection.begin():
            yield connection

    def fault(self, error: Exception, *, committing: bool) -> Fault:
        """By SQLSTATE. An error that the server did not send is the connection's."""
        if isinstance(error, ssl.SSLError):
            what = "its certificate is not to be trusted, or it breaks off in TLS"
            return Fault(unavailable=True, reason=f"PostgreSQL at {self._login.host}: {what}", maybe=committing)
        if not isinstance(error, DatabaseError):
            what = "PostgreSQL cannot be reached, or did not answer in time"
            return Fault(unavailable=True, reason=f"{what} ({type(error).__name__})", maybe=committing)
        told = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        code = str(told.get("C", ""))
        reason = _REASONS.get(code) or _REASONS.get(code[:2])
        if code == "57014":
            reason = f"PostgreSQL took longer than {CONNECT_S:g} s for one statement"
        if reason:
            return Fault(unavailable=True, reason=f"{reason} (SQLSTATE {code})", maybe=committing)
        return Fault(unavailable=False, reason=f"the store cannot keep this: {told.get('M', 'unknown')} ({code})")

    def tidy(self, connection: Connection) -> None:
        """Nothing: autovacuum does it."""

    def close(self) -> None:
        """Close the readers' connections, and let go of the claim."""
        self.engine.dispose()
        if self._claimed is not None:
            PostgresConnection(self._claimed).close()
            self._claimed = None
