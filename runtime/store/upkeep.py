"""What an operator does with a store that no gateway has to be running for; each as lines to print.

Raises StoreError; the drivers' errors are translated.
"""

from collections.abc import Callable
from functools import wraps
from pathlib import Path

from sqlalchemy import Connection, func, select
from sqlalchemy.exc import DBAPIError

from runtime.store import schema
from runtime.store.backup import Counts, back_up, restore
from runtime.store.connection import Database
from runtime.store.errors import StoreError, StoreUnavailableError
from runtime.store.migrate import migrate, version
from sandboxes.state import StateDirectory
from sandboxes.store_config import PostgresStore, StoreConfig


def _translated[**P](work: Callable[P, list[str]]) -> Callable[P, list[str]]:
    """With the driver's errors in words; the database is the first argument."""

    @wraps(work)
    def wrapped(*arguments: P.args, **named: P.kwargs) -> list[str]:
        database: Database = arguments[0]  # type: ignore[assignment]
        try:
            return work(*arguments, **named)
        except StoreError:
            raise
        except Exception as error:
            cause = error.orig if isinstance(error, DBAPIError) and isinstance(error.orig, Exception) else error
            raise StoreUnavailableError(database.fault(cause, committing=False).reason) from error

    return wrapped


@_translated
def described(database: Database, config: StoreConfig, state: StateDirectory) -> list[str]:
    """Where it is, its schema, what it holds."""
    path = getattr(config, "path", None) or state.store_file
    where = config.url if isinstance(config, PostgresStore) else str(path)
    if not isinstance(config, PostgresStore) and not Path(path).exists():
        return [f"{where}: not made yet"]
    with database.snapshot() as connection:
        found = version(connection)
        lines = [where, f"schema      {found or 'none yet'}{'' if found == schema.VERSION else _OTHER}"]
        return lines if found != schema.VERSION else lines + _holds(connection, config)


_OTHER = f", where this Lockgate uses {schema.VERSION}"


def _holds(connection: Connection, config: StoreConfig) -> list[str]:
    executions, approvals, holdings = schema.EXECUTIONS.c, schema.APPROVALS.c, schema.HOLDINGS.c
    states = connection.execute(select(executions.state, func.count()).group_by(executions.state)).all()
    told = ", ".join(f"{count} {state}" for state, count in sorted(states)) or "none"
    waiting = connection.execute(select(func.count()).where(approvals.state == "open")).scalar()
    sessions = connection.execute(select(func.count()).where(schema.SESSIONS.c.state == "open")).scalar()
    held, tenants = connection.execute(select(func.sum(holdings.bytes), func.count(holdings.tenant.distinct()))).one()
    return [
        f"executions  {told}",
        f"approvals   {waiting} open",
        f"sessions    {sessions} open",
        f"bytes       {int(held or 0)} of {config.quotas.bytes}, of {tenants} tenants",
    ]


@_translated
def migrated(database: Database) -> list[str]:
    """Bring the schema up to date."""
    database.connect().close()
    with database.exclusive() as connection:
        was = migrate(connection)
    if was == schema.VERSION:
        return [f"schema {was}, as it was"]
    return [f"schema {was or 'none'} -> {schema.VERSION}"]


@_translated
def saved(database: Database, path: Path) -> list[str]:
    """Back it up into a new file."""
    return [f"{path}: {_counted(back_up(database, path))}"]


@_translated
def restored(database: Database, path: Path, *, replace: bool) -> list[str]:
    """Bring a back-up back. Raises StoreError if a gateway has the store."""
    database.connect().close()
    if not database.claim():
        raise StoreError("a gateway uses the store; stop the service first")
    return [f"{path}: {_counted(restore(path, database, replace=replace))}"]


def _counted(counts: Counts) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in ("executions", "calls", "approvals", "sessions"))
