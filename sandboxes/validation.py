"""From a document to a model, with errors an operator can act on: place, key path, what was expected."""

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sandboxes.document import Document
from sandboxes.json_schema import json_schema
from sandboxes.node import Node
from sandboxes.place import Place, Schema, follows, locate
from sandboxes.problem import DocumentError, quote

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
        own = [details for details in errors if not follows(details, document.root)] or errors
        places = sorted((_located(details, document, schema) for details in own), key=_order)
        problems = (document.problem(place.path, place.mark, _message(details, place)) for details, place in places)
        raise DocumentError(tuple(dict.fromkeys(problems))) from None


def nearest(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?`, or nothing if no known word is near."""
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return f'; did you mean "{by_lower[near[0]]}"?' if near else ""


def _located(details: ErrorDetails, document: Document, schema: Schema) -> tuple[ErrorDetails, Place]:
    return details, locate(details, document.root, schema)


def _order(found: tuple[ErrorDetails, Place]) -> tuple[int, int]:
    return found[1].mark.line, found[1].mark.column


def _message(details: ErrorDetails, place: Place) -> str:
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


def _missing(_: ErrorDetails, place: Place) -> str:
    return f"missing; expected {_expected(place.schemas)}{_description(place.schemas)}"


def _own_words(details: ErrorDetails, _: Place) -> str:
    return str(details["ctx"]["error"])


def _no_choice(_: ErrorDetails, place: Place) -> str:
    choices = [choice for schema in place.schemas for choice in _choices(schema)]
    hint = nearest(place.node.value, choices) if isinstance(place.node.value, str) else ""
    return f"expected {_expected(place.schemas)}{_given(place)}{hint}"


def _no_match(details: ErrorDetails, place: Place) -> str:
    return f"must match {details['ctx']['pattern']}{_given(place)}{_description(place.schemas)}"


def _no_tag(details: ErrorDetails, _: Place) -> str:
    return f"the key {details['ctx']['discriminator']} is missing"


def _wrong_tag(details: ErrorDetails, _: Place) -> str:
    context = details["ctx"]
    name = context["discriminator"].rpartition(" | ")[2].strip("'")  # a field's own name stands before its alias
    hint = nearest(context["tag"], re.findall(r"'([^']*)'", context["expected_tags"]))
    return f"{name} must be one of {context['expected_tags']}, not {quote(context['tag'])}{hint}"


def _unknown_key(details: ErrorDetails, place: Place) -> str:
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


def _given(place: Place) -> str:
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


_MESSAGES: Mapping[str, Callable[[ErrorDetails, Place], str]] = {
    "missing": _missing,
    "extra_forbidden": _unknown_key,
    "value_error": _own_words,
    "literal_error": _no_choice,
    "string_pattern_mismatch": _no_match,
    "union_tag_not_found": _no_tag,
    "union_tag_invalid": _wrong_tag,
}
