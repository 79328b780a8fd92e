"""Secrets in variables of this process's environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from .backend import UnavailableError


@dataclass(frozen=True, slots=True)
class EnvironmentBackend:
    """`path` is the variable."""

    environment: Mapping[str, str]

    def read(self, path: str, field: str | None) -> bytes:  # noqa: ARG002 - a variable has no fields
        """The variable's value, UTF-8."""
        value = self.environment.get(path)
        if value is None:
            raise UnavailableError(f"the variable {path} is not set")
        return value.encode(errors="surrogateescape")
