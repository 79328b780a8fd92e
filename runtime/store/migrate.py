"""The schema's version, and the way to the present one."""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from runtime.store.errors import StoreVersionError
from runtime.store.schema import VERSION

_SCRIPTS: Final = Path(__file__).with_name("migrations")


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
    # Loaded only when something is to be done: it takes a fifth of a second.
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
    return was
