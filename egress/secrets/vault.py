"""Secrets in HashiCorp Vault: the key/value engine, version 2, through hvac."""

from collections.abc import Callable
from typing import Any

from sandboxes.secret_store import VaultStore

from .backend import UnavailableError
from .bounded import bounded_session


class VaultBackend:
    """`path` is the entry below the mount; `field` may be left out where there is one only."""

    def __init__(self, store: VaultStore, credential: Callable[[str], str], trust: str) -> None:
        self._store = store
        self._credential = credential
        self._trust = trust
        self._client: Any = None

    def read(self, path: str, field: str | None) -> bytes:
        """The newest version's field. Logs in when that is needed, once more if Vault no longer knows the login."""
        try:
            import hvac.exceptions  # noqa: PLC0415 - an extra, loaded when it is used
            import requests  # noqa: PLC0415
        except ImportError:
            raise UnavailableError('needs hvac, which is not installed; install "lockgate[vault]"') from None
        try:
            try:
                return _field(self._entry(path), field)
            except (hvac.exceptions.Forbidden, hvac.exceptions.Unauthorized):
                self._client = None
                return _field(self._entry(path), field)
        except hvac.exceptions.VaultError as error:
            reason = f"Vault refused: {type(error).__name__}"
        except requests.RequestException as error:
            reason = f"Vault could not be reached or broke off ({type(error).__name__})"
        except (KeyError, TypeError, ValueError, AttributeError):
            reason = "Vault's answer has not the form of the key/value engine, version 2"
        raise UnavailableError(reason)

    def _entry(self, path: str) -> Any:
        client = self._client or self._log_in()
        self._client = client
        reader = client.secrets.kv.v2
        answer = reader.read_secret_version(path=path, mount_point=self._store.mount, raise_on_deleted_version=True)
        return answer["data"]["data"]

    def _log_in(self) -> Any:
        import hvac  # noqa: PLC0415

        store = self._store
        session = bounded_session(store.ca_file or self._trust, store.timeout_s)
        client = hvac.Client(
            url=store.url, namespace=store.namespace, timeout=store.timeout_s, session=session, allow_redirects=False
        )
        if store.auth == "approle":
            client.auth.approle.login(
                role_id=store.role_id or "",
                secret_id=self._credential(store.secret_id or ""),
                mount_point=store.login_path or "approle",
            )
        elif store.auth == "kubernetes":
            client.auth.kubernetes.login(
                role=store.role or "",
                jwt=self._credential(store.service_token or ""),
                mount_point=store.login_path or "kubernetes",
            )
        else:
            client.token = self._credential(store.token or "")
        return client


def _field(entry: Any, field: str | None) -> bytes:
    if not isinstance(entry, dict):
        raise TypeError
    if field is None and len(entry) != 1:
        raise UnavailableError("its entry in Vault has not exactly one field; name the field")
    name = next(iter(entry)) if field is None else field
    if name not in entry:
        raise UnavailableError("its entry in Vault has no such field")
    if not isinstance(entry[name], str):
        raise UnavailableError("its field in Vault is not text")
    return str(entry[name]).encode()
