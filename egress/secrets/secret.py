"""A secret's value in a type that cannot show it, and what stands in its place when there is none."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NoReturn


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


@dataclass(frozen=True, slots=True)
class Unready:
    """A secret that has to be fetched first. After `wait()`, which never raises, ask again."""

    name: str
    wait: Callable[[], Awaitable[None]] = field(repr=False)
