"""Reading a schema as a type. References become named types and are not followed, so nothing grows without end."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from runtime.portal.identifier import RESERVED, identifier
from runtime.portal.schema import (
    ReferenceProblem,
    Shape,
    all_properties,
    branches,
    lookup,
    properties_of,
    reference_name,
    types_of,
)
from runtime.portal.type_model import (
    NULL,
    UNKNOWN,
    Both,
    Field,
    ListOf,
    MapOf,
    Named,
    ObjectOf,
    Plain,
    TupleOf,
    Type,
    Union,
    Values,
)

MAX_DEPTH: Final = 24
MAX_VALUES: Final = 60
MAX_OPTIONS: Final = 40

# Names that declarations of either language already use for something else.
_TAKEN = frozenset({"Any", "Literal", "NotRequired", "TypedDict", "Array", "Object", "Promise", "Record", "String",
                    "Number", "Boolean", "Error", "None", "True", "False", "Required", "Map", "Date"})  # fmt: skip
# They say no more than the type does.
_PLAIN_FORMATS = frozenset({"int32", "int64", "float", "double", "string"})
_PLAIN: Final[dict[str, Type]] = {name: Plain(name) for name in ("null", "boolean", "integer", "number", "string")}


def read_type(shape: Shape, depth: int = 0) -> Type:
    """The type of what a shape describes; `unknown` where it says nothing or lies."""
    schema = shape.schema
    if schema is False:
        return Plain("never")
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return UNKNOWN
    if isinstance(reference := schema.get("$ref"), str):
        return _named(shape, reference)
    read = _read(shape, schema, depth)
    if schema.get("nullable") is True:
        return _union([read, NULL])
    return read


def type_name(reference: str) -> str:
    """`#/components/schemas/full-repository` to `FullRepository`."""
    raw = reference_name(reference) if reference != "#" else "Root"
    name = identifier(re.sub(r"^_+", "", raw) or "Type")
    name = name[0].upper() + name[1:]
    return f"{name}_" if name in _TAKEN or name in RESERVED else name


def object_fields(shape: Shape, depth: int = 0) -> tuple[Field, ...]:
    """The properties of an object schema and of all it is `allOf`, required ones first."""
    fields = [_field(name, each, depth, required=required) for name, each, required in all_properties(shape)]
    return (*(f for f in fields if f.required), *(f for f in fields if not f.required))


def _named(shape: Shape, reference: str) -> Type:
    try:
        target = lookup(shape.root, reference)
        final, _ = shape.resolved()
    except ReferenceProblem:
        return UNKNOWN
    if final.schema is True or final.schema == {}:
        return UNKNOWN
    return Named(type_name(reference), reference, shape.at(target))


def _read(shape: Shape, schema: Mapping[str, Any], depth: int) -> Type:
    if "const" in schema:
        return _values([schema["const"]])
    if isinstance(values := schema.get("enum"), list):
        return _values(values)
    if branches(schema, "allOf"):
        return _all(shape, schema, depth)
    for key in ("oneOf", "anyOf"):
        if options := branches(schema, key):
            return _any(shape, schema, options, depth)
    types = types_of(schema) or _guessed(schema)
    return _union([_of(shape, schema, name, depth) for name in types]) if types else UNKNOWN


def _of(shape: Shape, schema: Mapping[str, Any], name: str, depth: int) -> Type:
    if name == "object":
        return _object(shape, schema, depth)
    if name == "array":
        return _array(shape, schema, depth)
    return _PLAIN.get(name, UNKNOWN)


def _object(shape: Shape, schema: Mapping[str, Any], depth: int) -> Type:
    extra = schema.get("additionalProperties")
    patterns = schema.get("patternProperties")
    if extra is None and isinstance(patterns, Mapping) and patterns:
        extra = next(iter(patterns.values()))
    rest = read_type(shape.at(extra), depth + 1) if isinstance(extra, Mapping) and extra else None
    if not properties_of(schema):
        return MapOf(rest if rest is not None else UNKNOWN)
    return ObjectOf(fields=object_fields(shape, depth + 1), extra=rest)


def _array(shape: Shape, schema: Mapping[str, Any], depth: int) -> Type:
    items = schema.get("items")
    places = branches(schema, "prefixItems") or (items if isinstance(items, list) else [])
    if places:
        rest = None if items is False or isinstance(items, list) else read_type(shape.at(items), depth + 1)
        if items is None or items is True:
            rest = UNKNOWN if schema.get("maxItems") != len(places) else None
        return TupleOf(tuple(read_type(shape.at(each), depth + 1) for each in places[:MAX_OPTIONS]), rest)
    return ListOf(read_type(shape.at(items if items is not None else True), depth + 1))


def _all(shape: Shape, schema: Mapping[str, Any], depth: int) -> Type:
    own = {key: value for key, value in schema.items() if key not in ("allOf", "nullable")}
    parts = [read_type(shape.at(each), depth + 1) for each in branches(schema, "allOf")[:MAX_OPTIONS]]
    if properties_of(own) or branches(own, "oneOf") or branches(own, "anyOf"):
        parts.append(read_type(shape.at(own), depth + 1))
    kept = list(dict.fromkeys(part for part in parts if part not in (UNKNOWN, MapOf(UNKNOWN))))
    if not kept:
        return parts[0] if parts else UNKNOWN
    return kept[0] if len(kept) == 1 else Both(tuple(kept))


def _any(shape: Shape, schema: Mapping[str, Any], options: list[Any], depth: int) -> Type:
    told = _told_apart(schema)
    read = _union([told(shape.at(each), read_type(shape.at(each), depth + 1)) for each in options[:MAX_OPTIONS]])
    if not properties_of(schema):
        return _typed(read, schema)
    own = ObjectOf(fields=object_fields(shape, depth + 1))
    # `anyOf: [{required: [a]}, {required: [b]}]` beside properties says nothing a type can say.
    return own if read == UNKNOWN else Both((own, read))


def _told_apart(schema: Mapping[str, Any]) -> Callable[[Shape, Type], Type]:
    """Adds to each option of a discriminated union the value that tells it (OpenAPI 3.1, 4.8.25)."""
    discriminator = schema.get("discriminator")
    name = discriminator.get("propertyName") if isinstance(discriminator, Mapping) else None
    mapping = discriminator.get("mapping") if isinstance(discriminator, Mapping) else None
    if not isinstance(name, str):
        return lambda _, read: read
    values: dict[str, list[str]] = {}
    for value, target in mapping.items() if isinstance(mapping, Mapping) else ():
        values.setdefault(str(target), []).append(str(value))

    def told(option: Shape, read: Type) -> Type:
        if not isinstance(read, Named) or not isinstance(option.schema, Mapping):
            return read
        plain = reference_name(read.reference)
        found = [*values.get(read.reference, []), *values.get(plain, [])] or [plain]
        field = Field(name=name, type=Values(tuple(found[:MAX_VALUES])), required=True)
        return Both((ObjectOf(fields=(field,)), read))

    return told


def _typed(read: Type, schema: Mapping[str, Any]) -> Type:
    """`type: string, anyOf: [{format: a}, {format: b}]`: the options add nothing to the type beside them."""
    types = types_of(schema)
    if read != UNKNOWN or not types:
        return read
    return _union([_PLAIN.get(name, UNKNOWN) for name in types])


def _field(name: str, shape: Shape, depth: int, *, required: bool) -> Field:
    schema = shape.schema if isinstance(shape.schema, Mapping) else {}
    description = schema.get("description")
    return Field(
        name=name,
        type=read_type(shape, depth),
        required=required,
        description=description.strip() if isinstance(description, str) else "",
        notes=tuple(_notes(schema)),
        deprecated=schema.get("deprecated") is True,
    )


def _notes(schema: Mapping[str, Any]) -> Iterable[str]:
    if isinstance(schema.get("format"), str) and schema["format"] not in _PLAIN_FORMATS:
        yield schema["format"][:40]
    if "default" in schema:
        yield f"default {_short(schema['default'])}"
    yield from _example(schema)
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, int | float) and not isinstance(low, bool):
        yield f"at least {low}"
    if isinstance(high, int | float) and not isinstance(high, bool):
        yield f"at most {high}"
    for key, word in (("maxLength", "characters"), ("maxItems", "items")):
        if isinstance(schema.get(key), int):
            yield f"at most {schema[key]} {word}"
    if schema.get("readOnly") is True:
        yield "read-only"
    if schema.get("writeOnly") is True:
        yield "write-only"


def _example(schema: Mapping[str, Any]) -> Iterator[str]:
    examples = schema.get("examples")
    if "example" in schema:
        yield f"e.g. {_short(schema['example'])}"
    elif isinstance(examples, list) and examples:
        yield f"e.g. {_short(examples[0])}"


def _values(values: list[Any]) -> Type:
    scalars = [value for value in values if isinstance(value, str | int | float | bool | None)]
    if not scalars or len(scalars) != len(values) or len(scalars) > MAX_VALUES:
        kinds = {_kind(value) for value in values}
        return _union([_PLAIN.get(kind, UNKNOWN) for kind in sorted(kinds)]) if kinds else UNKNOWN
    unique = {(type(value), value): value for value in scalars}
    return Values(tuple(unique.values()))


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if value is None:
        return "null"
    return {str: "string", int: "number", float: "number"}.get(type(value), "unknown")


def _union(types: Iterable[Type]) -> Type:
    flat: list[Type] = []
    for each in types:
        flat += each.options if isinstance(each, Union) else [each]
    unique = list(dict.fromkeys(flat))
    if UNKNOWN in unique or not unique:
        return UNKNOWN
    if NULL in unique:
        unique = [each for each in unique if each != NULL] + [NULL]
    return unique[0] if len(unique) == 1 else Union(tuple(unique))


def _guessed(schema: Mapping[str, Any]) -> tuple[str, ...]:
    if "properties" in schema or "additionalProperties" in schema:
        return ("object",)
    return ("array",) if "items" in schema or "prefixItems" in schema else ()


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."  # noqa: PLR2004
