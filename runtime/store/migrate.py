"""The schema's version, and the way to the present one."""

from pathlib import Path
from typing import Final

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, inspect, text

from runtime.store.errors import StoreVersionError
from runtime.store.schema import METADATA, VERSION

_SCRIPTS: Final = Path(__file__).with_name("migrations")
_VERSIONS: Final = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)
"""As Alembic makes it."""


def version(connection: Connection) -> str:
    """The schema's version; empty for none."""
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or ""


def migrate(connection: Connection) -> str:
    """Bring the schema up to date, in the connection's transaction; the version it had. Raises StoreVersionError."""
    was = version(connection)
    if was == VERSION:
        return was
    if was:
        upgrade(connection, was)
    else:
        create(connection)
    return was


def create(connection: Connection) -> None:
    """The schema as it is now, where none of its tables is. A test compares it with what `upgrade` makes."""
    METADATA.create_all(connection, checkfirst=False)
    _VERSIONS.create(connection, checkfirst=False)
    connection.execute(_VERSIONS.insert().values(version_num=VERSION))


def upgrade(connection: Connection, was: str) -> None:
    """From one version to the next and so on, from nothing if `was` is empty. Raises StoreVersionError."""
    # Loaded only when something is to be done: it takes a tenth of a second.
    from alembic import command  # noqa: PLC0415 - as said
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    if was and was not in {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}:
        message = f"the store's schema is {was}, from a newer Lockgate; this one knows {VERSION}: use the newer one"
        raise StoreVersionError(message)
    command.upgrade(config, "head")
