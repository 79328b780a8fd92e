"""From one OpenAPI operation to a tool: its arguments, its result, and how it is called."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.portal.identifier import RESERVED_ARGUMENTS, distinct_identifiers
from runtime.portal.openapi_body import BINARY_SCHEMA, Body, choose, encodings, is_json
from runtime.portal.openapi_document import server_urls
from runtime.portal.openapi_parameter import STYLES, Parameter
from runtime.portal.schema import ReferenceProblem, Shape, follow, properties_of
from runtime.portal.tool import Tool, one_line
from sandboxes.call_facts import effect_of_method

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MAX_PARAMETERS: Final = 200

_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})  # OpenAPI 3.1, 4.8.12.2
_FORBIDDEN_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "cookie", "te", "upgrade",
                                "proxy-authorization", "trailer", "keep-alive", "expect"})  # fmt: skip
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class UnsupportedOperation(ValueError):  # noqa: N818 - a reason for the list of skipped tools, not a failure
    """Why an operation is not made a tool."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpBinding:
    """How an operation is called. `server` is set where the operation has one of its own.

    `security` has the alternatives of what it wants, each the names of schemes that go together; `links` are
    OperationLinks to other operations.
    """

    method: str
    path: str
    parameters: tuple[Parameter, ...]
    body: Body | None
    accept: str
    server: str | None = None
    redirects: frozenset[int] = field(default_factory=frozenset)
    security: tuple[tuple[str, ...], ...] = ()
    links: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """An operation where it stands in the document."""

    method: str
    path: str
    item: Mapping[str, Any]
    operation: Mapping[str, Any]

    @property
    def wanted_name(self) -> str:
        """The operationId, else the method and path."""
        declared = self.operation.get("operationId")
        return declared if isinstance(declared, str) and declared.strip() else f"{self.method} {self.path}"

    @property
    def key(self) -> str:
        """What tells it from every other operation of the document."""
        return f"{self.method.upper()} {self.path}"


def operations(document: Mapping[str, Any]) -> Iterator[Operation]:
    """Every operation of the document, well-formed or not."""
    for path, item in document["paths"].items():
        try:
            resolved = follow(document, item)
        except ReferenceProblem:
            resolved = item
        for method in METHODS if isinstance(resolved, Mapping) else ():
            if isinstance(found := resolved.get(method), Mapping):
                yield Operation(method=method, path=path, item=resolved, operation=found)


def build_tool(
    upstream: str,
    name: str,
    operation: Operation,
    document: Mapping[str, Any],
    variables: Mapping[str, str] | None = None,
) -> Tool:
    """The tool of an operation. Raises UnsupportedOperation, or ReferenceProblem for a reference to nothing."""
    if operation.method == "trace":
        raise UnsupportedOperation("TRACE is not called")
    if not operation.path.startswith("/"):
        raise UnsupportedOperation('its path does not begin with "/"')
    parameters, properties, required, renamed = _arguments(operation, document)
    body, body_schema = _body(operation, document)
    if body is not None:
        properties["body"] = body_schema
        required += ["body"] if body.required else []
    output, accept, redirects = _responses(operation, document)
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    described = _text(operation.operation, "description") or _text(operation.item, "description")
    tags = operation.operation.get("tags")
    return Tool(
        upstream=upstream,
        name=name,
        original=operation.wanted_name,
        summary=one_line(_text(operation.operation, "summary") or described or operation.key),
        description=described,
        input=Shape(schema=schema, root=document),
        output=output,
        read_only=operation.method in ("get", "head", "options"),
        declared=effect_of_method(operation.method.upper(), open_world=False),
        deprecated=operation.operation.get("deprecated") is True,
        keywords=(*(str(tag) for tag in tags[:8]), operation.path) if isinstance(tags, list) else (operation.path,),
        renamed=renamed,
        binding=HttpBinding(
            method=operation.method.upper(),
            path=operation.path,
            parameters=parameters,
            body=body,
            accept=accept,
            server=_server(operation, variables or {}),
            redirects=redirects,
            security=_security(operation.operation.get("security", document.get("security"))),
        ),
    )


def _security(declared: Any) -> tuple[tuple[str, ...], ...]:
    alternatives = declared if isinstance(declared, list) else []
    return tuple(tuple(str(name) for name in each) for each in alternatives[:20] if isinstance(each, Mapping))


def _server(operation: Operation, variables: Mapping[str, str]) -> str | None:
    for holder in (operation.operation, operation.item):
        if (url := next(server_urls(dict(holder), variables), None)) is not None:
            return url
    return None


def _arguments(
    operation: Operation, document: Mapping[str, Any]
) -> tuple[tuple[Parameter, ...], dict[str, Any], list[str], dict[str, str]]:
    declared = _declared(operation, document)
    names = [(str(each["name"]), f"{each['name']} in {each['in']}") for each in declared]
    # `body` is the request body's, whatever a parameter is called.
    reserved = RESERVED_ARGUMENTS | ({"body"} if "requestBody" in operation.operation else set())
    safe = distinct_identifiers(names, joined="_", reserved=reserved)
    parameters = tuple(_parameter(each, argument) for each, argument in zip(declared, safe, strict=True))
    _check_path(operation.path, parameters)
    properties = {p.argument: _schema(each) for p, each in zip(parameters, declared, strict=True)}
    required = [p.argument for p in parameters if p.required]
    return parameters, properties, required, {p.argument: p.wire for p in parameters if p.argument != p.wire}


def _declared(operation: Operation, document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The parameters of path and operation; the operation's own win. Required ones first."""
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    for holder in (operation.item, operation.operation):
        listed = holder.get("parameters", [])
        if not isinstance(listed, list):
            raise UnsupportedOperation("its parameters are not a list")
        for entry in listed:
            each = follow(document, entry)
            name, place = (each.get("name"), each.get("in")) if isinstance(each, Mapping) else (None, None)
            if not isinstance(name, str) or not isinstance(place, str) or not name:
                raise UnsupportedOperation("one of its parameters has no name or place")
            if place == "header" and name.lower() in _IGNORED_HEADERS:
                continue
            found[name, place] = each
    if len(found) > MAX_PARAMETERS:
        raise UnsupportedOperation(f"it has {len(found)} parameters; at most {MAX_PARAMETERS} are read")
    return sorted(found.values(), key=lambda each: each.get("required") is not True and each["in"] != "path")


def _parameter(declared: Mapping[str, Any], argument: str) -> Parameter:
    name, place = declared["name"], declared["in"]
    if place not in STYLES:
        raise UnsupportedOperation(f'parameter "{name}" is in "{place}"; known are {", ".join(STYLES)}')
    style = declared.get("style", STYLES[place][0])
    if style not in STYLES[place]:
        raise UnsupportedOperation(f'parameter "{name}" has the style "{style}", which {place} parameters do not have')
    if place == "header" and (name.lower() in _FORBIDDEN_HEADERS or not _TOKEN.fullmatch(name)):
        raise UnsupportedOperation(f'header "{name}" is not one a caller may set')
    content = declared.get("content")
    if isinstance(content, Mapping) and not all(is_json(str(media_type)) for media_type in content):
        raise UnsupportedOperation(f'parameter "{name}" is neither plain nor JSON')
    return Parameter(
        wire=name,
        argument=argument,
        location=place,
        style=style,
        explode=declared.get("explode", style == "form") is True,
        required=declared.get("required") is True or place == "path",
        allow_reserved=declared.get("allowReserved") is True,
        as_json=isinstance(content, Mapping),
        many_segments=declared.get("x-multi-segment") is True,
    )


def _check_path(path: str, parameters: tuple[Parameter, ...]) -> None:
    in_path = set(re.findall(r"\{([^{}]*)\}", path))
    described = {p.wire for p in parameters if p.location == "path"}
    if missing := sorted(in_path - described):
        raise UnsupportedOperation(f"its path names {{{missing[0]}}}, which no parameter describes")
    if extra := sorted(described - in_path):
        raise UnsupportedOperation(f'its path parameter "{extra[0]}" is not in the path')


def _schema(declared: Mapping[str, Any]) -> dict[str, Any]:
    """The parameter's schema, with the description that stands beside it."""
    content = declared.get("content")
    if isinstance(content, Mapping) and content:
        media = next(iter(content.values()))
        inner = media.get("schema", {}) if isinstance(media, Mapping) else {}
    else:
        inner = declared.get("schema", {})
    beside: dict[str, Any] = _example(declared)
    if described := _text(declared, "description"):
        beside["description"] = described
    if declared.get("deprecated") is True:
        beside["deprecated"] = True
    schema = dict(inner) if isinstance(inner, Mapping) else {}
    return {"allOf": [schema], **beside} if beside and "$ref" in schema else {**schema, **beside}


def _example(holder: Any) -> dict[str, Any]:
    """The first example that stands beside a schema, not in it."""
    if not isinstance(holder, Mapping):
        return {}
    if "example" in holder:
        return {"example": holder["example"]}
    named = holder.get("examples")
    first = next(iter(named.values()), None) if isinstance(named, Mapping) else None
    return {"example": first["value"]} if isinstance(first, Mapping) and "value" in first else {}


def _body(operation: Operation, document: Mapping[str, Any]) -> tuple[Body | None, Any]:
    if "requestBody" not in operation.operation:
        return None, None
    declared = follow(document, operation.operation["requestBody"])
    content = declared.get("content") if isinstance(declared, Mapping) else None
    chosen = choose(content) if isinstance(content, Mapping) else None
    if chosen is None or content is None:
        raise UnsupportedOperation("its body has no media type")
    media_type, kind = chosen
    media = follow(document, content[media_type])
    schema = media.get("schema", {}) if isinstance(media, Mapping) else {}
    if kind == "multipart" and not properties_of(follow(document, schema)):
        schema = {"type": "object", **(schema if isinstance(schema, Mapping) else {})}
    if kind in ("text", "binary"):
        schema = {"type": "string"} if kind == "text" else BINARY_SCHEMA
    beside = _example(media)
    own = _text(schema, "description") if isinstance(schema, Mapping) else ""
    if (described := _text(declared, "description")) and not own:
        beside["description"] = described
    if beside:
        schema = {"allOf": [schema], **beside}
    try:
        encoding = encodings(media.get("encoding") if isinstance(media, Mapping) else None)
    except ValueError as error:
        raise UnsupportedOperation(str(error)) from None
    required = declared.get("required") is True
    return Body(kind=kind, media_type=media_type, required=required, encoding=encoding), schema


def _responses(operation: Operation, document: Mapping[str, Any]) -> tuple[Shape | None, str, frozenset[int]]:
    """The result's shape, the Accept header, and the redirects the operation documents."""
    declared = operation.operation.get("responses")
    responses = {str(code): each for code, each in declared.items()} if isinstance(declared, Mapping) else {}
    redirects = frozenset(int(code) for code in responses if re.fullmatch(r"3\d\d", code))
    good = sorted((code for code in responses if re.fullmatch(r"2(\d\d|XX)", code, re.IGNORECASE)), key=str.lower)
    contents: list[Mapping[str, Any]] = []
    for code in [*good, *(["default"] if not good and "default" in responses else [])]:
        try:
            response = follow(document, responses[code])
        except ReferenceProblem:
            continue
        content = response.get("content") if isinstance(response, Mapping) else None
        contents.append(content if isinstance(content, Mapping) else {})
    for content in contents:
        for media_type, media in content.items():
            if is_json(str(media_type)) and isinstance(media, Mapping):
                accept = str(media_type) if "*" not in str(media_type) else "application/json"
                return Shape(schema=media.get("schema", True), root=document), f"{accept}, */*;q=0.5", redirects
    if any(contents):
        kinds = [str(media_type) for content in contents for media_type in content]
        return Shape(schema={"type": "string"}, root={}), f"{kinds[0]}, */*;q=0.5", redirects
    empty = Shape(schema={"type": "null"}, root={}) if good and not redirects else None
    return empty, "application/json, */*;q=0.5", redirects


def _text(holder: Mapping[str, Any], key: str) -> str:
    value = holder.get(key)
    return value.strip() if isinstance(value, str) else ""
