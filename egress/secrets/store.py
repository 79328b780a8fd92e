"""Every configured secret by name: those of this machine as they are now, others as they were last fetched."""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from sandboxes.secret_source import GitHubAppSource, OAuth2Source, SecretSource
from sandboxes.secret_store import AwsStore, OnePasswordStore, SecretStoreConfig

from .aws import AwsBackend
from .backend import MAX_BYTES, Backend, UnavailableError
from .cached import CachedSecret, Fetched
from .environment import EnvironmentBackend
from .file import FileBackend
from .github_app import GitHubApp
from .oauth2 import OAuth2
from .onepassword import OnePasswordBackend
from .secret import Missing, Secret, Unready
from .token_client import TokenClient
from .vault import VaultBackend

SHORT = 8
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
_THREADS = 4
_DERIVED_TIMEOUT_S = 8.0


class SecretStore:
    """Gives secrets by name. Those that need a network are fetched aside: `get` says what to wait for."""

    def __init__(
        self,
        sources: Mapping[str, SecretSource],
        environment: Mapping[str, str] = os.environ,
        stores: Mapping[str, SecretStoreConfig] | None = None,
        client: TokenClient | None = None,
    ) -> None:
        self._sources = dict(sources)
        self._client = client or TokenClient()
        self._environment = EnvironmentBackend(environment)
        self._files = FileBackend()
        self._stores = dict(stores or {})
        self._backends = {name: self._backend(store) for name, store in self._stores.items()}
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="secrets")
        self._local: dict[str, Secret] = {}
        self._cached = {name: self._made(name, source) for name, source in sources.items() if not source.local}

    def get(self, name: str) -> Secret | Missing | Unready:
        """The secret as it is now, what to wait for, or why there is none. Never waits for a network."""
        source = self._sources.get(name)
        if source is None:
            return Missing(name, f'secret "{name}" is not configured')
        return self._read_local(name, source) if source.local else self._cached[name].get()

    async def fetch(self, name: str) -> Secret | Missing:
        """The secret, once it is there."""
        found = self.get(name)
        if isinstance(found, Unready):
            await found.wait()
            found = self.get(name)
        return Missing(name, f'secret "{name}" was not ready') if isinstance(found, Unready) else found

    async def load(self) -> None:
        """Fetch what is kept in stores, all at once, before anybody asks. What fails is told by `warnings`."""
        kept = [name for name, source in self._sources.items() if source.store is not None]
        await asyncio.gather(*(self.fetch(name) for name in kept))

    def known(self) -> list[Secret]:
        """Every secret read so far: what must not be shown anywhere."""
        return [*self._local.values(), *(kept.known for kept in self._cached.values() if kept.known is not None)]

    def warnings(self) -> list[str]:
        """What an operator should know about the configured secrets now."""
        found: list[str] = []
        for name, source in self._sources.items():
            secret = self.get(name) if source.derived is None else None
            if isinstance(secret, Missing):
                found.append(secret.reason)
            elif isinstance(secret, Secret) and (doubt := _doubt(secret.expose())):
                found.append(f'secret "{name}" {doubt}')
        return found

    def _read_local(self, name: str, source: SecretSource) -> Secret | Missing:
        try:
            value = self._local_value(source)
            fault = _fault(value)
        except UnavailableError as error:
            value, fault = b"", f"has no value: {error}"
        if fault is not None:
            self._local.pop(name, None)
            return Missing(name, f'secret "{name}" {fault}')
        known = self._local.get(name)
        if known is None or known.expose() != value:
            known = self._local[name] = Secret(name, value)
        return known

    def _local_value(self, source: SecretSource) -> bytes:
        if source.env is not None:
            return self._environment.read(source.env, None)
        return self._files.read(source.directory or source.file or "", source.key)

    def _made(self, name: str, source: SecretSource) -> CachedSecret:
        if source.store is not None:
            store = self._stores[source.store]
            return CachedSecret(name, partial(self._from_store, source, store), store.timeout_s)
        return CachedSecret(name, self._derived(source.derived), _DERIVED_TIMEOUT_S)

    def _derived(self, source: OAuth2Source | GitHubAppSource | None) -> Callable[[], Awaitable[Fetched]]:
        if isinstance(source, OAuth2Source):
            return OAuth2(source, self._client, self._text).fetch
        assert source is not None
        return GitHubApp(source, self._client, self._text).fetch

    def _backend(self, store: SecretStoreConfig) -> Backend:
        if isinstance(store, AwsStore):
            return AwsBackend(store, self._local_text, self._client.trust)
        if isinstance(store, OnePasswordStore):
            return OnePasswordBackend(store, self._local_text, self._client.trust)
        return VaultBackend(store, self._local_text, self._client.trust)

    async def _from_store(self, source: SecretSource, store: SecretStoreConfig) -> Fetched:
        backend = self._backends[source.store or ""]
        reading = partial(backend.read, source.path or "", source.field)
        value = await asyncio.get_running_loop().run_in_executor(self._threads, reading)
        return Fetched(value, store.ttl_s, store.grace_s)

    async def _text(self, name: str) -> str:
        """A secret that another is made from."""
        return _as_text(await self.fetch(name))

    def _local_text(self, name: str) -> str:
        """A secret of this machine that a store is spoken to with; called in the store's threads."""
        return _as_text(self._read_local(name, self._sources[name]))


def _doubt(value: bytes) -> str | None:
    """What of a value an operator may not have meant. PEM and JSON have line ends, other secrets must not."""
    if len(value) < SHORT:
        return f"is shorter than {SHORT} bytes and is easily guessed"
    if _CONTROL.search(value) and not value.lstrip().startswith((b"-----BEGIN ", b"{")):
        return "has a control character (CR, LF or NUL, say) in its value, and requests that would carry it are refused"
    return None


def _as_text(secret: Secret | Missing) -> str:
    if isinstance(secret, Missing):
        raise UnavailableError(secret.reason)
    try:
        return secret.expose().decode()
    except UnicodeDecodeError:
        raise UnavailableError(f'secret "{secret.name}" is not text') from None


def _fault(value: bytes) -> str | None:
    if not value:
        return "is empty"
    return f"is longer than {MAX_BYTES} bytes" if len(value) > MAX_BYTES else None
