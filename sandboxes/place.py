"""Where an error of a model stands in a document, and what the model's JSON Schema says of that place."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from sandboxes.node import Node
from sandboxes.problem import Mark, key_path

type Schema = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where an error stands: the node it is about, or the mapping that lacks the key of `path`."""

    path: str
    node: Node
    mark: Mark
    schemas: tuple[Schema, ...]
    around: tuple[Schema, ...] = ()


def follows(details: ErrorDetails, root: Node) -> bool:
    """Whether the error only repeats others: pydantic counts a list's valid members, not those of the file."""
    if details["type"] != "too_short":
        return False
    node = root
    for part in details["loc"]:
        node = _below(node, part) or node
    return isinstance(node.value, list) and len(node.value) >= details["ctx"]["min_length"]


def locate(details: ErrorDetails, root: Node, schema: Schema) -> Place:
    """Walks the document along the error's `loc`, which also names union members: those are passed over."""
    place = Place(path="", node=root, mark=root.mark, schemas=tuple(_variants(schema, schema, root)))
    last = len(details["loc"]) - 1
    for index, part in enumerate(details["loc"]):
        below = _below(place.node, part)
        missing = index == last and details["type"] == "missing"
        if below is None and not missing:
            continue
        of_key = details["loc"][index + 1 : index + 2] == ("[key]",)
        at_key = of_key or details["type"] == "extra_forbidden"
        place = Place(
            path=key_path(place.path, part),
            node=Node(value=str(part), mark=place.node.mark) if of_key else below or place.node,
            mark=_mark(place, below, part, at_key=at_key),
            schemas=() if of_key else tuple(s for above in place.schemas for s in _step(schema, above, part, below)),
            around=place.schemas,
        )
    return place


def _below(node: Node, part: str | int) -> Node | None:
    if isinstance(node.value, dict) and isinstance(part, str):
        return node.value.get(part)
    if isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
        return node.value[part]
    return None


def _mark(place: Place, below: Node | None, part: str | int, *, at_key: bool) -> Mark:
    if below is None:
        return place.node.mark
    return place.node.keys[part] if at_key and isinstance(part, str) else below.mark


def _variants(root: Schema, schema: Schema, node: Node | None) -> Iterator[Schema]:
    """The schema without references and unions; union members whose constants the node contradicts are left out."""
    if "$ref" in schema:
        yield from _variants(root, root["$defs"][schema["$ref"].rpartition("/")[2]], node)
        return
    members = [*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())]
    if not members:
        if not _contradicts(schema, node):
            yield schema
        return
    for member in members:
        yield from _variants(root, member, node)


def _contradicts(schema: Schema, node: Node | None) -> bool:
    if node is None or not isinstance(node.value, dict):
        return False
    constants = ((name, s["const"]) for name, s in schema.get("properties", {}).items() if "const" in s)
    return any(name in node.value and node.value[name].value != const for name, const in constants)


def _step(root: Schema, schema: Schema, part: str | int, node: Node | None) -> Iterator[Schema]:
    """What `schema` says of the value under `part`."""
    below: Any = schema.get("items") if isinstance(part, int) else schema.get("properties", {}).get(part)
    if below is None and isinstance(part, str):
        below = next(iter(schema.get("patternProperties", {}).values()), schema.get("additionalProperties"))
    if isinstance(below, dict):
        described = {"description": below["description"]} if "description" in below else {}
        yield from ({**variant, **described} for variant in _variants(root, below, node))
