"""Secrets in 1Password, through a Connect server and 1Password's own client for it."""

import ssl
from collections.abc import Callable
from typing import Any

from sandboxes.secret_store import OnePasswordStore

from .backend import UnavailableError


class OnePasswordBackend:
    """`path` is an item's title or identifier; `field` a field's label or identifier, `password` if left out."""

    def __init__(self, store: OnePasswordStore, credential: Callable[[str], str], trust: str) -> None:
        self._store = store
        self._credential = credential
        self._trust = trust

    def read(self, path: str, field: str | None) -> bytes:
        """The field of the item in the store's vault."""
        try:
            import httpx  # noqa: PLC0415 - an extra, loaded when it is used
            from onepasswordconnectsdk.errors import OnePasswordConnectSDKError  # noqa: PLC0415
        except ImportError:
            missing = 'needs onepasswordconnectsdk, which is not installed; install "lockgate[onepassword]"'
            raise UnavailableError(missing) from None
        try:
            item = self._client().get_item(path, self._store.vault)
            found = _field(item, field or "password")
        except OnePasswordConnectSDKError as error:
            reason = f"1Password refused: {type(error).__name__}"
        except httpx.HTTPError as error:
            reason = f"1Password could not be reached or broke off ({type(error).__name__})"
        except (KeyError, TypeError, ValueError, AttributeError):
            reason = "1Password's answer has not the form of Connect's"
        else:
            return found
        raise UnavailableError(reason)

    def _client(self) -> Any:
        """Made for each reading: readings are minutes apart, and the token may have been rotated."""
        from onepasswordconnectsdk.client import Client  # noqa: PLC0415
        from onepasswordconnectsdk.config import ClientConfig  # noqa: PLC0415

        store = self._store
        verified = ssl.create_default_context(cafile=store.ca_file or self._trust)
        options = ClientConfig(verify=verified, timeout=store.timeout_s, trust_env=False, follow_redirects=False)
        return Client(store.url, self._credential(store.token), options)


def _field(item: Any, wanted: str) -> bytes:
    found = [field for field in item.fields or () if wanted in {field.label, field.id}]
    if len(found) != 1:
        raise UnavailableError(f"its item in 1Password has {len(found)} fields of that name")
    if not isinstance(found[0].value, str):
        raise UnavailableError("its field in 1Password has no text")
    return found[0].value.encode()
