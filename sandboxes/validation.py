"""From a document to a model, with errors an operator can act on: place, key path, what was expected."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sandboxes.document import Document, Node
from sandboxes.json_schema import json_schema
from sandboxes.problem import DocumentError, Mark, Problem, key_path, quote

type Schema = Mapping[str, Any]

_TYPES = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "a mapping of keys to values",
    "null": "null",
}
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("more than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}
_SECRET_PATH = re.compile(r"^secrets\.|\.secret$")
_COUNTS = {"too_short": ("at least", "min_length"), "too_long": ("at most", "max_length")}


def validate[M: BaseModel](model: type[M], document: Document) -> M:
    """The document as a `model`. Raises DocumentError with every problem found, in the file's order."""
    if not isinstance(document.root.value, dict):
        message = f"expected a mapping of keys to values, not {_shown(document.root)}"
        raise DocumentError((document.problem("", document.root.mark, message),))
    try:
        return model.model_validate_json(json.dumps(document.root.plain()), strict=True)
    except ValidationError as error:
        schema = json_schema(model)
        errors = error.errors(include_url=False)
        own = [details for details in errors if not _follows(details, document.root)] or errors
        found = (_problem(details, document, schema) for details in own)
        ordered = sorted(found, key=lambda problem: (problem.mark.line, problem.mark.column))
        raise DocumentError(tuple(dict.fromkeys(ordered))) from None


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing if no known word is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f'; did you mean "{by_lower[near[0]]}"?' if near else ""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where an error stands: the node it is about, or the mapping that lacks the key of `path`."""

    path: str
    node: Node
    mark: Mark
    schemas: tuple[Schema, ...]
    around: tuple[Schema, ...] = ()


def _follows(details: ErrorDetails, root: Node) -> bool:
    """Whether the error only repeats others: pydantic counts a list's valid members, not those of the file."""
    if details["type"] != "too_short":
        return False
    node = root
    for part in details["loc"]:
        node = _below(node, part) or node
    return isinstance(node.value, list) and len(node.value) >= details["ctx"]["min_length"]


def _problem(details: ErrorDetails, document: Document, schema: Schema) -> Problem:
    place = _locate(details, document.root, schema)
    return document.problem(place.path, place.mark, _message(details, place))


def _locate(details: ErrorDetails, root: Node, schema: Schema) -> _Place:
    """Walks the document along the error's `loc`, which also names union members: those are passed over."""
    place = _Place(path="", node=root, mark=root.mark, schemas=tuple(_variants(schema, schema, root)))
    last = len(details["loc"]) - 1
    for index, part in enumerate(details["loc"]):
        below = _below(place.node, part)
        missing = index == last and details["type"] == "missing"
        if below is None and not missing:
            continue
        of_key = details["loc"][index + 1 : index + 2] == ("[key]",)
        at_key = of_key or details["type"] == "extra_forbidden"
        place = _Place(
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


def _mark(place: _Place, below: Node | None, part: str | int, *, at_key: bool) -> Mark:
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


def _message(details: ErrorDetails, place: _Place) -> str:
    kind = details["type"]
    if (writer := _MESSAGES.get(kind)) is not None:
        return writer(details, place)
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"must be {words} {details['ctx'][bound]}{_given(place)}"
    if kind in _COUNTS:
        words, bound = _COUNTS[kind]
        count = details["ctx"][bound]
        return f"must have {words} {count} {'item' if count == 1 else 'items'}, not {details['ctx']['actual_length']}"
    if kind.endswith("_type") and place.schemas:
        return f"expected {_expected(place.schemas)}{_given(place)}"
    text = f"{details['msg'][:1].lower()}{details['msg'][1:]}"
    return text if isinstance(place.node.value, dict | list) else f"{text}{_given(place)}"


def _missing(_: ErrorDetails, place: _Place) -> str:
    return f"missing; expected {_expected(place.schemas)}{_description(place.schemas)}"


def _own_words(details: ErrorDetails, _: _Place) -> str:
    return str(details["ctx"]["error"])


def _no_choice(_: ErrorDetails, place: _Place) -> str:
    choices = [choice for schema in place.schemas for choice in _choices(schema)]
    hint = nearest(place.node.value, choices) if isinstance(place.node.value, str) else ""
    return f"expected {_expected(place.schemas)}{_given(place)}{hint}"


def _no_match(details: ErrorDetails, place: _Place) -> str:
    return f"must match {details['ctx']['pattern']}{_given(place)}{_description(place.schemas)}"


def _no_tag(details: ErrorDetails, _: _Place) -> str:
    return f"the key {details['ctx']['discriminator']} is missing"


def _wrong_tag(details: ErrorDetails, _: _Place) -> str:
    context = details["ctx"]
    name = context["discriminator"].strip("'")
    return f"{name} must be one of {context['expected_tags']}, not {quote(context['tag'])}"


def _unknown_key(details: ErrorDetails, place: _Place) -> str:
    known = list(dict.fromkeys(name for schema in place.around for name in schema.get("properties", ())))
    hint = nearest(str(details["loc"][-1])[:60], known)
    return f"unknown key{hint}" if hint else f"unknown key; known here: {', '.join(known)}"


def _expected(schemas: tuple[Schema, ...]) -> str:
    choices = [quote(choice) for schema in schemas for choice in _choices(schema)]
    one_of = [choices[0] if len(choices) == 1 else f"one of {', '.join(choices)}"] if choices else []
    types = [_typed(schema) for schema in schemas if not _choices(schema)]
    return " or ".join(dict.fromkeys([*one_of, *types])) or "a value"


def _choices(schema: Schema) -> list[str]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _typed(schema: Schema) -> str:
    name = _TYPES.get(schema.get("type", ""), "a value")
    known = list(schema.get("properties", ()))
    return f"{name} ({', '.join(known)})" if known else name


def _description(schemas: tuple[Schema, ...]) -> str:
    described = [schema["description"] for schema in schemas if "description" in schema]
    return f": {described[0]}" if described else ""


def _given(place: _Place) -> str:
    """`, not "x"`, unless someone may have written a secret where only its name or source belongs."""
    if _SECRET_PATH.search(place.path):
        return "; what is there is not shown"
    return f", not {_shown(place.node)}"


def _shown(node: Node) -> str:
    if isinstance(node.value, dict):
        return "a mapping"
    if isinstance(node.value, list):
        return "a list"
    if node.value is None:
        return "an empty value"
    return str(node.value).lower() if isinstance(node.value, bool) else quote(node.value)


_MESSAGES: Mapping[str, Callable[[ErrorDetails, _Place], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "value_error": _own_words,
    "literal_error": _no_choice,
    "string_pattern_mismatch": _no_match,
    "union_tag_not_found": _no_tag,
    "union_tag_invalid": _wrong_tag,
}
