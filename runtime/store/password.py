"""The password of the store's server: read by the supervisor, handed to the gateway, in no log and no error."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from runtime.store.errors import StoreError
from sandboxes.store_config import PostgresStore, StoreConfig

_MOST = 4_096


def store_password(config: StoreConfig, environ: Mapping[str, str]) -> SecretStr:
    """As the configuration says where it is; empty for none. Raises StoreError."""
    if not isinstance(config, PostgresStore) or config.password is None:
        return SecretStr("")
    if config.password.env is not None:
        value = environ.get(config.password.env, "")
        if not value:
            raise StoreError(f"store.password: the environment variable {config.password.env} is not set, or empty")
        return SecretStr(value)
    return _from_file(Path(config.password.file or ""))


def _from_file(path: Path) -> SecretStr:
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST + 1).removesuffix("\n").removesuffix("\r")
    except OSError as error:
        raise StoreError(f"store.password: the file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise StoreError(f"store.password: the file {path} is not text in UTF-8") from None
    if not text or len(text) > _MOST:
        raise StoreError(f"store.password: the file {path} is empty, or longer than {_MOST} characters")
    return SecretStr(text)
