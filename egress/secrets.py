"""Secrets: where their values come from, and a type that cannot show them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

from sandboxes.egress import SecretSource

_MAX_BYTES = 64 * 1024
SHORT = 8
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class Secret:
    """A secret's bytes. Nothing prints, formats, pickles or copies them; `expose` is the one way to them."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: bytes) -> None:
        self.name = name
        self._value = value

    def expose(self) -> bytes:
        """The value itself. Call this only where it is put on the wire or looked for."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name}: ***)"

    __str__ = __repr__

    def __format__(self, _spec: str) -> str:
        return repr(self)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be copied or pickled")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Missing:
    """A secret that cannot be used, and why (never with its value)."""

    name: str
    reason: str


class SecretBackend(Protocol):
    """One place where secrets are kept."""

    def read(self) -> bytes:
        """The value as it is now. Raises OSError or KeyError if there is none."""


@dataclass(frozen=True, slots=True)
class EnvironmentSecret:
    """A variable of this process's environment."""

    variable: str
    environment: Mapping[str, str]

    def read(self) -> bytes:
        """The variable's value, UTF-8."""
        return self.environment[self.variable].encode(errors="surrogateescape")


@dataclass(frozen=True, slots=True)
class FileSecret:
    """A file, read again whenever it changed; one newline at its end is not part of the value."""

    path: Path

    def read(self) -> bytes:
        """The file's bytes without a final newline."""
        with self.path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
        return raw.removesuffix(b"\n").removesuffix(b"\r")


class SecretStore:
    """Every configured secret by name."""

    def __init__(self, sources: Mapping[str, SecretSource], environment: Mapping[str, str] = os.environ) -> None:
        self._backends = {name: _backend(source, environment) for name, source in sources.items()}
        self._read: dict[str, tuple[object, Secret]] = {}

    def get(self, name: str) -> Secret | Missing:
        """The secret as it is now, or why there is none."""
        backend = self._backends.get(name)
        if backend is None:
            return Missing(name, f'secret "{name}" is not configured')
        try:
            version = _version(backend)
            known = self._read.get(name)
            if known is not None and known[0] == version:
                return known[1]
            value = backend.read()
        except (OSError, KeyError):
            self._read.pop(name, None)
            return Missing(name, f'secret "{name}" has no value: its source is missing or cannot be read')
        fault = _fault(value)
        if fault:
            return Missing(name, f'secret "{name}" {fault}')
        secret = Secret(name, value)
        self._read[name] = (version, secret)
        return secret

    def known(self) -> list[Secret]:
        """Every secret read so far: what must not be shown anywhere."""
        return [secret for _, secret in self._read.values()]

    def warnings(self) -> list[str]:
        """What an operator should know about the configured secrets now."""
        found: list[str] = []
        for name in self._backends:
            secret = self.get(name)
            if isinstance(secret, Missing):
                found.append(secret.reason)
            elif len(secret.expose()) < SHORT:
                found.append(f'secret "{name}" is shorter than {SHORT} bytes and is easily guessed')
        return found


def _backend(source: SecretSource, environment: Mapping[str, str]) -> SecretBackend:
    if source.env is not None:
        return EnvironmentSecret(source.env, environment)
    return FileSecret(Path(source.file or ""))


def _version(backend: SecretBackend) -> object:
    if not isinstance(backend, FileSecret):
        return None
    status = backend.path.stat()
    return (status.st_mtime_ns, status.st_ino, status.st_size)


def _fault(value: bytes) -> str | None:
    if not value:
        return "is empty"
    if len(value) > _MAX_BYTES:
        return f"is longer than {_MAX_BYTES} bytes"
    if _CONTROL.search(value):
        return "has a control character (CR, LF or NUL, say) in its value and is refused"
    return None
