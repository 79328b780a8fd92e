"""Swagger 2.0 to OpenAPI 3.0: the same operations in the words the rest of the portal reads.

https://swagger.io/specification/v2/. What has no counterpart is left as it is, so that its operation is skipped with
the reason; nothing is guessed.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

_METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch")
_MOVED: Final = (
    ("#/definitions/", "#/components/schemas/"),
    ("#/parameters/", "#/components/parameters/"),
    ("#/responses/", "#/components/responses/"),
)
# Of a parameter in Swagger 2.0, what belongs to the schema in OpenAPI 3.
_SCHEMA: Final = (
    *("type", "format", "items", "default", "enum", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"),
    *("maxLength", "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf"),
)
# By collectionFormat: style and explode; csv is the default.
_STYLES: Final = {
    "csv": ("form", False),
    "ssv": ("spaceDelimited", False),
    "pipes": ("pipeDelimited", False),
    "multi": ("form", True),
}
_FLOWS: Final = {"implicit": "implicit", "password": "password", "application": "clientCredentials",
                 "accessCode": "authorizationCode"}  # fmt: skip
_MAX_DEPTH: Final = 200


def from_swagger(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as OpenAPI 3.0. Raises ValueError for nesting without end."""
    moved = _moved(document, 0)
    paths = moved.get("paths")
    components = {
        "schemas": moved.get("definitions", {}),
        "parameters": {
            name: _parameter(each)
            for name, each in _members(moved, "parameters")
            if each.get("in") not in {"body", "formData"}
        },
        "responses": {name: _response(each, _media(moved, "produces")) for name, each in _members(moved, "responses")},
        "securitySchemes": {name: _scheme(each) for name, each in _members(moved, "securityDefinitions")},
    }
    kept = {key: moved[key] for key in ("info", "security", "tags") if key in moved}
    return {
        "openapi": "3.0.3",
        **kept,
        "servers": list(_servers(moved)),
        "paths": {path: _item(item, moved) for path, item in paths.items()} if isinstance(paths, dict) else paths,
        "components": components,
    }


def _moved(value: Any, depth: int) -> Any:
    """With references to where things stand now, and `x-nullable` as `nullable`."""
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deeply")
    if isinstance(value, list):
        return [_moved(each, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    copied = {key: _moved(each, depth + 1) for key, each in value.items()}
    if isinstance(reference := copied.get("$ref"), str):
        for before, after in _MOVED:
            if reference.startswith(before):
                copied["$ref"] = after + reference.removeprefix(before)
    if copied.get("x-nullable") is True:
        copied["nullable"] = True
    return copied


def _members(holder: Mapping[str, Any], key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    group = holder.get(key)
    yield from (
        ((name, each) for name, each in group.items() if isinstance(each, dict)) if isinstance(group, dict) else ()
    )


def _media(holder: Mapping[str, Any], key: str, above: Mapping[str, Any] | None = None) -> list[str]:
    found = holder.get(key, (above or {}).get(key))
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _servers(document: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    base = document.get("basePath")
    path = base if isinstance(base, str) else ""
    if not isinstance(host := document.get("host"), str):
        yield {"url": path or "/"}
        return
    schemes = [each for each in document.get("schemes") or ["https"] if each in {"http", "https"}]
    for scheme in sorted(schemes or ["https"], reverse=True):
        yield {"url": f"{scheme}://{host}{path.rstrip('/')}"}


def _item(item: Any, document: Mapping[str, Any]) -> Any:
    if not isinstance(item, dict):
        return item
    shared = item.get("parameters")
    shared = shared if isinstance(shared, list) else []
    own = {key: each for key, each in item.items() if key not in _METHODS and key != "parameters"}
    made = {
        method: _operation(item[method], shared, document) for method in _METHODS if isinstance(item.get(method), dict)
    }
    return {**own, **made}


def _operation(operation: Mapping[str, Any], shared: list[Any], document: Mapping[str, Any]) -> dict[str, Any]:
    listed = operation.get("parameters")
    declared = _declared([*shared, *(listed if isinstance(listed, list) else [])], document)
    body = next((each for each in declared if each.get("in") == "body"), None)
    fields = [each for each in declared if each.get("in") == "formData"]
    made = {
        key: each for key, each in operation.items() if key not in {"parameters", "consumes", "produces", "schemes"}
    }
    made["parameters"] = [_parameter(each) for each in declared if each.get("in") not in {"body", "formData"}]
    consumes = _media(operation, "consumes", document)
    if body is not None:
        made["requestBody"] = _body(body, consumes or ["application/json"])
    elif fields:
        made["requestBody"] = _form(fields, consumes)
    if isinstance(responses := operation.get("responses"), dict):
        produces = _media(operation, "produces", document) or ["application/json"]
        made["responses"] = {code: _response(each, produces) for code, each in responses.items()}
    return made


def _declared(listed: list[Any], document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every parameter once, by name and place, the later one; references to bodies are read, because they move."""
    found: dict[tuple[Any, Any], dict[str, Any]] = {}
    for entry in listed:
        each = entry
        if isinstance(entry, dict) and str(entry.get("$ref", "")).startswith("#/components/parameters/"):
            target = dict(_members(document, "parameters")).get(entry["$ref"].removeprefix("#/components/parameters/"))
            each = target if target is not None else entry
        if isinstance(each, dict):
            found[each.get("name", each.get("$ref")), each.get("in")] = each
    return list(found.values())


def _parameter(declared: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in declared:
        return dict(declared)
    made = {key: each for key, each in declared.items() if key not in _SCHEMA and key != "collectionFormat"}
    made["schema"] = _schema(declared)
    if declared.get("type") == "array":
        style, explode = _STYLES.get(declared.get("collectionFormat", "csv"), ("tsv", False))
        place = declared.get("in")
        made["style"] = "simple" if place in {"path", "header"} and style == "form" else style
        made["explode"] = explode
    return made


def _schema(declared: Mapping[str, Any]) -> dict[str, Any]:
    schema = {key: declared[key] for key in _SCHEMA if key in declared}
    return {"type": "string", "format": "binary"} if schema.get("type") == "file" else schema


def _body(declared: Mapping[str, Any], consumes: list[str]) -> dict[str, Any]:
    media = {"schema": declared.get("schema", {})}
    described = {"description": declared["description"]} if "description" in declared else {}
    return {**described, "required": declared.get("required") is True, "content": dict.fromkeys(consumes, media)}


def _form(fields: list[dict[str, Any]], consumes: list[str]) -> dict[str, Any]:
    has_file = any(each.get("type") == "file" for each in fields)
    usual = "multipart/form-data" if has_file else "application/x-www-form-urlencoded"
    media_type = next((each for each in consumes if "form" in each and (not has_file or "multipart" in each)), usual)
    properties = {str(each.get("name")): _described(each) for each in fields}
    required = [str(each.get("name")) for each in fields if each.get("required") is True]
    encoding = {
        str(each.get("name")): {"style": style[0], "explode": style[1]}
        for each in fields
        if each.get("type") == "array" and (style := _STYLES.get(each.get("collectionFormat", "csv"))) is not None
    }
    media = {"schema": {"type": "object", "properties": properties, "required": required}, "encoding": encoding}
    return {"required": bool(required), "content": {media_type: media}}


def _described(field: Mapping[str, Any]) -> dict[str, Any]:
    described = {"description": field["description"]} if "description" in field else {}
    return {**_schema(field), **described}


def _response(declared: Any, produces: list[str]) -> Any:
    if not isinstance(declared, dict) or "$ref" in declared:
        return declared
    kept = {key: each for key, each in declared.items() if key not in {"schema", "examples", "headers"}}
    if "schema" in declared:
        schema = declared["schema"]
        is_file = isinstance(schema, dict) and schema.get("type") == "file"
        media = {"schema": {"type": "string", "format": "binary"} if is_file else schema}
        kept["content"] = dict.fromkeys(produces or ["application/json"], media)
    return kept


def _scheme(declared: Mapping[str, Any]) -> dict[str, Any]:
    if declared.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    if declared.get("type") == "oauth2":
        flow = _FLOWS.get(str(declared.get("flow")), "implicit")
        return {"type": "oauth2", "flows": {flow: {"scopes": declared.get("scopes", {})}}}
    return dict(declared)
