"""Links of a response (OpenAPI 3.1, 4.8.20): which calls an answer leads to, with which arguments.

An expression that finds nothing in the exchange leaves the whole link out, so that a last page leads nowhere. A link
with a server of its own is not read: where requests go is the operator's word.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import unquote

from runtime.execution.pointer import NoSuchPartError, part_at
from runtime.portal.http_call import HttpReply
from runtime.portal.openapi_operation import METHODS, Operation
from runtime.portal.openapi_pages import text_as
from runtime.portal.openapi_parameter import Parameter, scalar
from runtime.portal.schema import ReferenceProblem, follow, properties_of
from runtime.portal.tool import Tool
from runtime.portal.validation import check

MAX_LINKS: Final = 50
"""Of one operation."""
_MAX_PARAMETERS: Final = 50
_MAX_TEXT: Final = 4 << 10
_EMBEDDED: Final = re.compile(r"\{(\$[^{}]{1,200})\}")
_OPERATION: Final = re.compile(r"#/paths/([^/]+)/([a-z]+)")
_STATUS: Final = re.compile(r"[1-5](?:\d\d|XX)|default", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class OperationLink:
    """`arguments` of `tool` are values, or texts with expressions; `status` is "200", "2XX" or "default"."""

    name: str
    status: str
    tool: str
    arguments: tuple[tuple[str, Any], ...]
    target: Tool = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Exchange:
    """A call that was made and its answer: what expressions look at."""

    tool: Tool
    arguments: Mapping[str, Any]
    reply: HttpReply
    value: Any


class _NothingError(LookupError):
    """An expression that finds nothing."""


def with_links(made: Iterable[tuple[Operation, Tool]], document: Mapping[str, Any]) -> Iterator[Tool]:
    """The tools, each with the links that its operation's responses declare to others of them."""
    pairs = list(made)
    by_key = {operation.key: tool for operation, tool in pairs}
    by_id: dict[str, Tool] = {}
    for operation, tool in pairs:
        by_id.setdefault(str(operation.operation.get("operationId", "")), tool)
    for operation, tool in pairs:
        links = tuple(_links(operation, document, by_id, by_key))[:MAX_LINKS]
        yield _told(tool, links) if links else tool


def related_calls(exchange: Exchange) -> dict[str, dict[str, Any]]:
    """By a link's name, the tool it leads to and the arguments that the answer tells."""
    found: dict[str, dict[str, Any]] = {}
    links: tuple[OperationLink, ...] = exchange.tool.binding.links
    for status in (str(exchange.reply.status), f"{exchange.reply.status // 100}XX", "default"):
        for link in links:
            if link.status.upper() != status.upper() or link.name in found:
                continue
            try:
                arguments = {name: _argument(link.target, name, each, exchange) for name, each in link.arguments}
            except _NothingError:
                continue
            found[link.name] = {"tool": link.tool, "arguments": arguments}
    return found


def next_by_link(tool: Tool, arguments: Mapping[str, Any], related: Mapping[str, Any]) -> dict[str, Any] | None:
    """The next page by a link of the operation to itself that is called next. None where there is none."""
    for name, call in related.items():
        merged = {**arguments, **call["arguments"]}
        if tool.read_only and call["tool"] == tool.full_name and "next" in name.lower() and merged != dict(arguments):
            return merged
    return None


def _told(tool: Tool, links: tuple[OperationLink, ...]) -> Tool:
    """With its links, and words about them in its description, since a program has to know their names."""
    leads = ", ".join(dict.fromkeys(f"{link.name} ({link.tool})" for link in links))
    said = f"{tool.description}\n\nIts .response(...).related leads to: {leads}"
    return replace(tool, binding=replace(tool.binding, links=links), description=said.strip())


def _links(
    operation: Operation, document: Mapping[str, Any], by_id: Mapping[str, Tool], by_key: Mapping[str, Tool]
) -> Iterator[OperationLink]:
    responses = operation.operation.get("responses")
    for status, declared in responses.items() if isinstance(responses, Mapping) else ():
        response = _followed(document, declared)
        links = response.get("links")
        if not isinstance(links, Mapping) or not _STATUS.fullmatch(str(status)):
            continue
        for name, each in links.items():
            link = _followed(document, each)
            target = _target(link, by_id, by_key)
            arguments = None if target is None else _arguments(link, target)
            if target is not None and arguments is not None and "server" not in link:
                yield OperationLink(
                    name=str(name)[:200],
                    status=str(status),
                    tool=target.full_name,
                    arguments=tuple(arguments),
                    target=target,
                )


def _followed(document: Mapping[str, Any], declared: Any) -> Mapping[str, Any]:
    try:
        found = follow(document, declared)
    except ReferenceProblem:
        return {}
    return found if isinstance(found, Mapping) else {}


def _target(link: Mapping[str, Any], by_id: Mapping[str, Tool], by_key: Mapping[str, Tool]) -> Tool | None:
    identity, reference = link.get("operationId"), link.get("operationRef")
    if isinstance(identity, str) and identity:
        return by_id.get(identity)
    match = _OPERATION.fullmatch(reference) if isinstance(reference, str) else None
    if match is None or match[2] not in METHODS:
        return None
    path = unquote(match[1]).replace("~1", "/").replace("~0", "~")
    return by_key.get(f"{match[2].upper()} {path}")


def _arguments(link: Mapping[str, Any], target: Tool) -> list[tuple[str, Any]] | None:
    """By the target's own arguments. None where the link names one that the target does not have."""
    declared = link.get("parameters", {})
    if not isinstance(declared, Mapping) or len(declared) > _MAX_PARAMETERS:
        return None
    found: list[tuple[str, Any]] = []
    for name, value in declared.items():
        parameter = _parameter(target, str(name))
        if parameter is None:
            return None
        found.append((parameter.argument, value))
    if "requestBody" in link:
        return [*found, ("body", link["requestBody"])] if target.binding.body is not None else None
    return found


def _parameter(target: Tool, name: str) -> Parameter | None:
    """By its name, or by its place and name (`path.id`)."""
    parameters: tuple[Parameter, ...] = target.binding.parameters
    for each in parameters:
        if name in (each.wire, f"{each.location}.{each.wire}"):
            return each
    return None


def _argument(target: Tool, name: str, declared: Any, exchange: Exchange) -> Any:
    """The value, in the type that the target wants."""
    value = _evaluated(declared, exchange)
    shape = target.input.at(properties_of(target.input.schema).get(name, True))
    if not check(shape, value):
        return value
    parameter = next((each for each in target.binding.parameters if each.argument == name), None)
    if parameter is None or isinstance(value, bool) or not isinstance(value, str | int | float):
        raise _NothingError
    read = text_as(target, parameter, [scalar(value)])
    if read is None or check(shape, read):
        raise _NothingError
    return read


def _evaluated(declared: Any, exchange: Exchange) -> Any:
    if not isinstance(declared, str):
        return declared
    if declared.startswith("$"):
        return _found(declared, exchange)
    return _EMBEDDED.sub(lambda match: scalar(_found(match[1], exchange)), declared)


def _found(expression: str, exchange: Exchange) -> Any:
    """What an expression stands for. Raises _NothingError for null, an empty text and what there is not."""
    head, _, pointer = expression.partition("#")
    side, _, place = head.partition(".")
    try:
        if place == "body":
            whole = exchange.arguments["body"] if side == "$request" else exchange.value
            value = part_at(whole, unquote(pointer))
        elif side in _SIDES and not pointer:
            value = _SIDES[side](place, exchange)
        else:
            raise _NothingError
    except (KeyError, NoSuchPartError):
        raise _NothingError from None
    if value is None or value == "" or (isinstance(value, str) and len(value) > _MAX_TEXT):
        raise _NothingError
    return value


def _of_request(place: str, exchange: Exchange) -> Any:
    location, _, name = place.partition(".")
    for each in exchange.tool.binding.parameters:
        same = name.lower() == each.wire.lower() if location == "header" else name == each.wire
        if each.location == location and same:
            return exchange.arguments[each.argument]
    raise _NothingError


def _of_response(place: str, exchange: Exchange) -> str:
    location, _, name = place.partition(".")
    return exchange.reply.header(name.lower()) if location == "header" else ""


_SIDES: Final[Mapping[str, Callable[[str, Exchange], Any]]] = {
    "$request": _of_request,
    "$response": _of_response,
    "$method": lambda _, exchange: exchange.tool.binding.method,
    "$statusCode": lambda _, exchange: exchange.reply.status,
}
