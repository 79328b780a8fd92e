"""A JSON Schema or OpenAPI schema together with the document its references point into."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

type Json = Mapping[str, Any]

MAX_REFERENCES: Final = 32


class ReferenceProblem(ValueError):  # noqa: N818 - a finding about a document
    """A `$ref` that leads nowhere, outside the document, or in a circle."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Shape:
    """`schema` is an object schema, True (anything) or False (nothing); references resolve in `root`."""

    schema: Any
    root: Json

    def at(self, schema: Any) -> "Shape":
        """Another schema of the same document."""
        return Shape(schema=schema, root=self.root)

    def resolved(self) -> tuple["Shape", str | None]:
        """The shape its reference leads to (itself if it has none), and the reference that named it last.

        Raises ReferenceProblem.
        """
        schema, name = self.schema, None
        for _ in range(MAX_REFERENCES):
            if not isinstance(schema, Mapping) or not isinstance(schema.get("$ref"), str):
                return self.at(schema), name
            name = schema["$ref"]
            schema = lookup(self.root, name)
        raise ReferenceProblem(f'"{name}" leads in a circle')


def lookup(root: Json, reference: str) -> Any:
    """What a `#/...` reference points at. Raises ReferenceProblem."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        if reference.startswith("#"):
            return _anchored(root, reference)
        raise ReferenceProblem(f'"{reference[:200]}" points outside the document; only references inside it are read')
    found: Any = root
    for part in reference[2:].split("/"):
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isascii() and key.isdigit() and int(key) < len(found):
            found = found[int(key)]
        else:
            raise ReferenceProblem(f'"{reference[:200]}" points at nothing in the document')
    return found


def follow(root: Json, value: Any) -> Any:
    """`value`, or what it refers to if it is a reference object. Raises ReferenceProblem."""
    return Shape(schema=value, root=root).resolved()[0].schema


def reference_name(reference: str) -> str:
    """`#/components/schemas/full-repository` to `full-repository`."""
    return unquote(reference.rsplit("/", 1)[-1]).replace("~1", "/").replace("~0", "~")


def types_of(schema: Json) -> tuple[str, ...]:
    """The declared types, `null` included where the schema is nullable; empty if none is declared."""
    declared = schema.get("type")
    names = [declared] if isinstance(declared, str) else declared if isinstance(declared, list) else []
    types = tuple(name for name in names if isinstance(name, str))
    if schema.get("nullable") is True and types and "null" not in types:
        return (*types, "null")
    return types


def properties_of(schema: Json) -> dict[str, Any]:
    """The declared properties; a malformed declaration counts as none."""
    properties = schema.get("properties")
    return {str(key): value for key, value in properties.items()} if isinstance(properties, Mapping) else {}


def required_of(schema: Json) -> tuple[str, ...]:
    """The names of required properties; a malformed declaration counts as none."""
    required = schema.get("required")
    return tuple(name for name in required if isinstance(name, str)) if isinstance(required, list) else ()


def branches(schema: Json, key: str) -> list[Any]:
    """The members of `allOf`, `anyOf` or `oneOf`; a malformed declaration counts as none."""
    members = schema.get(key)
    return members if isinstance(members, list) else []


def all_properties(shape: Shape) -> Iterator[tuple[str, Shape, bool]]:
    """Name, shape and whether required, of an object and everything it is `allOf`, once each."""
    seen: set[str] = set()
    required: set[str] = set()
    found: list[tuple[str, Shape]] = []
    for part in _conjunction(shape, 0):
        required.update(required_of(part.schema))
        for name, schema in properties_of(part.schema).items():
            if name not in seen:
                seen.add(name)
                found.append((name, part.at(schema)))
    yield from ((name, each, name in required) for name, each in found)


def _conjunction(shape: Shape, depth: int) -> Iterator[Shape]:
    if depth > MAX_REFERENCES:
        return
    try:
        shape, _ = shape.resolved()
    except ReferenceProblem:
        return
    if not isinstance(shape.schema, Mapping):
        return
    yield shape
    for branch in branches(shape.schema, "allOf")[:MAX_REFERENCES]:
        yield from _conjunction(shape.at(branch), depth + 1 + MAX_REFERENCES // 4)


def _anchored(root: Json, reference: str) -> Any:
    for group in ("$defs", "definitions"):
        members = root.get(group)
        for schema in members.values() if isinstance(members, Mapping) else ():
            if isinstance(schema, Mapping) and schema.get("$anchor") == reference[1:]:
                return schema
    raise ReferenceProblem(f'"{reference[:200]}" names no anchor of the document')
