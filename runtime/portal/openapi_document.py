"""From bytes to an OpenAPI 3.0 or 3.1 document, or a clear error. Swagger 2.0 is converted."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import yaml

from runtime.portal.swagger import from_swagger

MAX_BYTES: Final = 64 << 20
MAX_YAML_BYTES: Final = 8 << 20
MAX_DEPTH: Final = 200

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

# Not read, and large in real documents.
_UNREAD = ("x-webhooks", "webhooks")


class OpenApiProblem(ValueError):  # noqa: N818 - a finding about a document
    """Why a document cannot be used."""


def parse_openapi(data: bytes, source: str) -> dict[str, Any]:
    """The document in `data`, JSON or YAML. Raises OpenApiProblem, whatever the bytes."""
    document = _parse(data, source)
    if not isinstance(document, dict):
        raise OpenApiProblem(f"{source} is not an OpenAPI document: it holds {_kind(document)}, not an object")
    if "swagger" in document:
        document = _converted(document, source)
    version = document.get("openapi")
    if not isinstance(version, str):
        raise OpenApiProblem(f'{source} is not an OpenAPI document: it has no "openapi" version at its top')
    if re.match(r"3\.[012]\b", version) is None:
        raise OpenApiProblem(f"{source} says OpenAPI {version[:20]}; 3.0 and 3.1 are read")
    if not isinstance(document.get("paths"), dict):
        raise OpenApiProblem(f'{source} has no "paths"')
    return _without_unread(document)


def _converted(document: dict[str, Any], source: str) -> dict[str, Any]:
    swagger = str(document["swagger"])[:20]
    if swagger != "2.0":
        raise OpenApiProblem(f"{source} is a Swagger {swagger} document; Swagger 2.0, OpenAPI 3.0 and 3.1 are read")
    try:
        return from_swagger(document)
    except (ValueError, RecursionError) as error:
        raise OpenApiProblem(f"{source} cannot be converted from Swagger 2.0: {error}") from None
    except (AttributeError, KeyError, TypeError) as error:
        raise OpenApiProblem(f"{source} is a malformed Swagger 2.0 document: {error!r}"[:300]) from None


def _parse(data: bytes, source: str) -> Any:
    if len(data) > MAX_BYTES:
        raise OpenApiProblem(f"{source} has {len(data)} bytes; at most {MAX_BYTES} are read")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise OpenApiProblem(f"{source} is not UTF-8: byte {error.start}") from None
    if not text.strip():
        raise OpenApiProblem(f"{source} is empty")
    return _json(text, source) if text.lstrip()[0] in "{[" else _yaml(text, source)


def _json(text: str, source: str) -> Any:
    try:
        document = json.loads(text)
        if _SURROGATE.search(text) is None:
            return document
        return json.loads(json.dumps(document, ensure_ascii=False).encode("utf-8", "replace"))
    except json.JSONDecodeError as error:
        raise OpenApiProblem(
            f"{source} is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise OpenApiProblem(f"{source} cannot be read as JSON: {error}") from None


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as OpenAPI means it: the types of JSON, so no dates, and `no` is text."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", r"true|false", "tf"),
    ("null", r"~|null|", "~n\0"),
    ("int", r"[-+]?[0-9]{1,18}", "-+0123456789"),
    ("float", r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


def _yaml(text: str, source: str) -> Any:
    if len(text) > MAX_YAML_BYTES:
        raise OpenApiProblem(f"{source} has more than {MAX_YAML_BYTES} bytes of YAML; use its JSON form")
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, narrowed
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise OpenApiProblem(f"{source} is neither JSON nor YAML: {error.problem or error.context}{where}") from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise OpenApiProblem(f"{source} is neither JSON nor YAML: {error}") from None
    return _tree(document, source)


def _tree(document: Any, source: str) -> Any:
    """The document with text keys. An alias may make a circle, or a tree too large to walk: both are refused."""
    budget = 2_000_000

    def copied(value: Any, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if budget < 0 or depth > MAX_DEPTH:
            raise OpenApiProblem(f"{source} is nested too deeply, or its aliases make it too large")
        if isinstance(value, dict):
            return {_key(key): copied(member, depth + 1) for key, member in value.items()}
        if isinstance(value, list):
            return [copied(member, depth + 1) for member in value]
        return value if isinstance(value, str | int | float | bool | None) else str(value)

    return copied(document, 0)


def _key(key: Any) -> str:
    if isinstance(key, bool):
        return "true" if key else "false"
    return key if isinstance(key, str) else str(key)


def _without_unread(document: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in document.items() if key not in _UNREAD}
    components = kept.get("components")
    if isinstance(components, dict):
        kept["components"] = {key: value for key, value in components.items() if key != "examples"}
    return kept


def _kind(value: Any) -> str:
    return {list: "an array", str: "text", type(None): "nothing"}.get(type(value), "a single value")


def server_urls(document: dict[str, Any], variables: Mapping[str, str] | None = None) -> Iterator[str]:
    """The document's own base URLs, absolute or not, with their variables filled in: those given, else by default.

    Raises OpenApiProblem for a value that the document does not know.
    """
    servers = document.get("servers")
    for server in servers if isinstance(servers, list) else ():
        if isinstance(server, dict) and isinstance(server.get("url"), str):
            yield _filled(server["url"], server.get("variables"), variables or {})


def _filled(url: str, declared: Any, given: Mapping[str, str]) -> str:
    known = declared if isinstance(declared, dict) else {}

    def value(match: re.Match[str]) -> str:
        variable = known.get(match[1])
        if match[1] in given:
            allowed = variable.get("enum") if isinstance(variable, dict) else None
            if isinstance(allowed, list) and given[match[1]] not in allowed:
                may = ", ".join(str(each) for each in allowed[:20])
                raise OpenApiProblem(f'the variable {match[1]} is "{given[match[1]]}"; the document knows {may}')
            return given[match[1]]
        return str(variable.get("default", "")) if isinstance(variable, dict) else match[0]

    return re.sub(r"\{([^{}]+)\}", value, url)
