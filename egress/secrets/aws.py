"""Secrets in AWS Secrets Manager, through botocore."""

import json
import threading
from collections.abc import Callable
from typing import Any

from sandboxes.secret_store import AwsStore

from .backend import UnavailableError


class AwsBackend:
    """`path` is the secret's name or ARN; `field` a member of its JSON, or nothing for the whole."""

    def __init__(self, store: AwsStore, credential: Callable[[str], str], trust: str) -> None:
        self._store = store
        self._credential = credential
        self._trust = trust
        self._making = threading.Lock()
        self._client: tuple[str | None, Any] | None = None

    def read(self, path: str, field: str | None) -> bytes:
        """The current version."""
        try:
            from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - an extra, loaded when used
        except ImportError:
            raise UnavailableError('needs botocore, which is not installed; install "lockgate[aws]"') from None
        try:
            answer = self._made_client().get_secret_value(SecretId=path)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            reason = f"AWS refused: {code if code.isascii() and code.isalnum() else 'an error without a code'}"
        except BotoCoreError as error:
            reason = f"AWS could not be reached or broke off ({type(error).__name__})"
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = f"AWS's answer has not the form of Secrets Manager's ({type(error).__name__})"
        else:
            return _value(answer, field)
        raise UnavailableError(reason)

    def _made_client(self) -> Any:
        """One client for each value of the key: it is made anew when that was rotated."""
        store = self._store
        key = self._credential(store.secret_access_key) if store.secret_access_key else None
        with self._making:
            if self._client is None or self._client[0] != key:
                self._client = (key, self._make(key))
            return self._client[1]

    def _make(self, key: str | None) -> Any:
        from botocore.config import Config  # noqa: PLC0415
        from botocore.session import Session  # noqa: PLC0415

        store = self._store
        limits = Config(
            connect_timeout=store.timeout_s,
            read_timeout=store.timeout_s,
            retries={"total_max_attempts": 1},
            proxies={},
        )
        return Session().create_client(
            "secretsmanager",
            region_name=store.region,
            endpoint_url=store.url,
            verify=store.ca_file or self._trust,
            aws_access_key_id=store.access_key_id,
            aws_secret_access_key=key,
            config=limits,
        )


def _value(answer: Any, field: str | None) -> bytes:
    text = answer.get("SecretString")
    if field is None:
        return text.encode() if isinstance(text, str) else bytes(answer.get("SecretBinary", b""))
    try:
        members = json.loads(text)
        found = members[field]
    except (ValueError, KeyError, TypeError):
        found = None
    if not isinstance(found, str):
        raise UnavailableError("its entry in Secrets Manager is not JSON with such a text field")
    return found.encode()
