"""The store that a configuration describes."""

from pathlib import Path

from pydantic import SecretStr

from runtime.store.connection import Database
from runtime.store.ledger import Quotas
from runtime.store.postgres import Login, PostgresDatabase
from runtime.store.retention import Retention
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from sandboxes.state import StateDirectory
from sandboxes.store_config import PostgresStore, StoreConfig

_NS = 1_000_000_000


def configured_store(config: StoreConfig, state: StateDirectory, password: SecretStr) -> SqlStore:
    """Not opened yet."""
    quotas = Quotas(tenant_bytes=config.quotas.tenant_bytes, bytes=config.quotas.bytes)
    retention = Retention(
        ended_ns=config.retention.ended_s * _NS,
        ended=config.retention.ended,
        session_ns=config.retention.session_s * _NS,
    )
    return SqlStore(configured_database(config, state, password), quotas, retention)


def configured_database(config: StoreConfig, state: StateDirectory, password: SecretStr) -> Database:
    """Not connected to yet."""
    if not isinstance(config, PostgresStore):
        return SqliteDatabase(state.store_file if config.path is None else Path(config.path))
    login = Login.of(
        config.url,
        password if password.get_secret_value() else None,
        tls=config.speaks_tls,
        ca_file=config.ca_file,
    )
    return PostgresDatabase(login)
