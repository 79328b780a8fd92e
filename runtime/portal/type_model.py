"""Types as both languages see them, between a schema and its declaration."""

from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.portal.schema import Shape


@dataclass(frozen=True, slots=True)
class Plain:
    """A type without parts. `unknown` is any JSON value, `never` none."""

    name: Literal["unknown", "never", "null", "boolean", "integer", "number", "string"]


@dataclass(frozen=True, slots=True)
class Values:
    """One of these JSON scalars."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class ListOf:
    """An array of any length."""

    item: "Type"


@dataclass(frozen=True, slots=True)
class TupleOf:
    """An array with a type per place; `rest` is what may follow, None for nothing."""

    items: tuple["Type", ...]
    rest: "Type | None"


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object with keys of the program's choice."""

    value: "Type"


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """A property. `notes` are facts for a comment: format, default, bounds."""

    name: str
    type: "Type"
    required: bool
    description: str = ""
    notes: tuple[str, ...] = ()
    deprecated: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectOf:
    """An object with known properties; `extra` is the type of others, None if not worth a mention."""

    fields: tuple[Field, ...]
    extra: "Type | None" = None


@dataclass(frozen=True, slots=True)
class Union:
    """One of several."""

    options: tuple["Type", ...]


@dataclass(frozen=True, slots=True)
class Both:
    """All of several at once."""

    parts: tuple["Type", ...]


@dataclass(frozen=True, slots=True)
class Named:
    """A shared type, to be declared once. `reference` tells it from others; `shape` is its definition."""

    name: str
    reference: str
    shape: Shape = field(compare=False)


type Type = Plain | Values | ListOf | TupleOf | MapOf | ObjectOf | Union | Both | Named

UNKNOWN = Plain("unknown")
NULL = Plain("null")
