"""Where the next page of an answer is, as arguments of the same tool: never as an address to go to.

An answer that tells the next page by an address (RFC 8288's Link header, or a member of the body) has it read for the
query parameters that the operation declares; one that gives a token, for the parameter that takes it. So a program that
walks pages can call nothing but the tool it may call.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from runtime.portal.http_call import HttpReply
from runtime.portal.openapi_parameter import Parameter
from runtime.portal.schema import ReferenceProblem, properties_of, types_of
from runtime.portal.tool import Tool

MAX_LINKS: Final = 50
_MAX_HEADER: Final = 16 << 10
_MAX_TOKEN: Final = 4 << 10
_MAX_PAIRS: Final = 100

_LINK = re.compile(r"<([^<>]{0,4000})>((?:\s*;\s*[\w!#$&+.^`|~*'-]+(?:\s*=\s*(?:\"[^\"]*\"|[^\s\",;]+))?)*)")
_PARAMETER = re.compile(r";\s*([\w!#$&+.^`|~*'-]+)(?:\s*=\s*(?:\"([^\"]*)\"|([^\s\",;]+)))?")

# Where bodies put what tells the next page: at their top, or in one of these.
_HOLDERS: Final = ("meta", "metadata", "pagination", "paging", "page_info", "pageInfo", "response_metadata", "cursor")
_ADDRESSES: Final = ("next", "next_url", "nextUrl", "nextLink", "@odata.nextLink", "next_page_url", "nextPageUrl")
# A member with a token, and the parameters that may take it.
_TOKENS: Final = {
    "nextPageToken": ("pageToken", "page_token"),
    "next_page_token": ("page_token", "pageToken"),
    "nextCursor": ("cursor",),
    "next_cursor": ("cursor",),
    "nextToken": ("nextToken", "next_token"),
    "next_token": ("next_token", "nextToken"),
    "NextToken": ("NextToken",),
    "continue": ("continue",),
    "endCursor": ("after",),
    "next_page": ("page",),
    "nextPage": ("page",),
    "next": ("cursor", "page", "after", "offset", "start"),
    "after": ("after",),
}


def links_of(reply: HttpReply) -> dict[str, str]:
    """Addresses by relation (`next`, `prev`, `last`), as the Link header has them (RFC 8288, 3)."""
    text = ", ".join(value for key, value in reply.headers if key == "link")[:_MAX_HEADER]
    found: dict[str, str] = {}
    for target, parameters in _LINK.findall(text)[:MAX_LINKS]:
        for relation in _relations(parameters):
            found.setdefault(relation, target)
    return found


def _relations(parameters: str) -> list[str]:
    """The first `rel` of a link's parameters; what stands inside quotes is no parameter."""
    for name, quoted, plain in _PARAMETER.findall(parameters):
        if name.lower() == "rel":
            return str(quoted or plain).lower().split()[:5]
    return []


def next_arguments(
    tool: Tool, arguments: Mapping[str, Any], links: Mapping[str, str], value: Any
) -> dict[str, Any] | None:
    """The arguments that ask for the next page. None on the last page, or where the answer does not tell."""
    if not tool.read_only:
        return None
    parameters = {each.wire: each for each in tool.binding.parameters if each.location == "query"}
    for told in _told(links, value, parameters):
        merged = {**arguments, **told(tool)}
        if merged != dict(arguments):
            return merged
    return None


def _told(links: Mapping[str, str], value: Any, parameters: Mapping[str, Parameter]) -> Iterator[Any]:
    if "next" in links:
        yield lambda tool: _from_address(tool, links["next"], parameters)
    if not isinstance(value, dict):
        return
    for holder in (value, *(value[key] for key in _HOLDERS if isinstance(value.get(key), dict))):
        if address := _address(holder):
            yield lambda tool, found=address: _from_address(tool, found, parameters)
        yield lambda tool, held=holder: _from_token(tool, held, parameters)
    yield lambda tool: _from_last(tool, value, parameters)


def _address(holder: Mapping[str, Any]) -> str:
    for key in ("links", "_links"):
        link = holder[key].get("next") if isinstance(holder.get(key), dict) else None
        link = link.get("href") if isinstance(link, dict) else link
        if isinstance(link, str) and link:
            return link
    for key in _ADDRESSES:
        link = holder.get(key)
        link = link.get("href") if isinstance(link, dict) else link
        if isinstance(link, str) and link.startswith(("http://", "https://", "/", "?")):
            return link
    return ""


def _from_address(tool: Tool, address: str, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    try:
        pairs = parse_qsl(urlsplit(address).query, keep_blank_values=True, max_num_fields=_MAX_PAIRS)
    except ValueError:
        return {}
    texts: dict[str, list[str]] = {}
    for name, text in pairs:
        if name in parameters:
            texts.setdefault(name, []).append(text)
    read = {parameters[name].argument: text_as(tool, parameters[name], found) for name, found in texts.items()}
    return {argument: each for argument, each in read.items() if each is not None}


def _from_token(tool: Tool, holder: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    if holder.get("hasNextPage") is False or holder.get("has_next_page") is False or holder.get("has_more") is False:
        return {}
    for key, wanted in _TOKENS.items():
        token = holder.get(key)
        if isinstance(token, bool) or not isinstance(token, str | int) or token == "" or len(str(token)) > _MAX_TOKEN:
            continue
        for name in wanted:
            if name in parameters:
                found = text_as(tool, parameters[name], [str(token)])
                return {parameters[name].argument: found} if found is not None else {}
    return {}


def _from_last(tool: Tool, value: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """`has_more` beside a list whose items have an `id`: the next page starts after the last one."""
    listed = value.get("data")
    if value.get("has_more") is not True or "starting_after" not in parameters or not isinstance(listed, list):
        return {}
    last = listed[-1] if listed else None
    identity = last.get("id") if isinstance(last, dict) else None
    if not isinstance(identity, str | int) or isinstance(identity, bool):
        return {}
    found = text_as(tool, parameters["starting_after"], [str(identity)])
    return {parameters["starting_after"].argument: found} if found is not None else {}


def text_as(tool: Tool, parameter: Parameter, texts: list[str]) -> Any:
    """Text of a query as the type that the parameter declares. None for what it cannot be."""
    try:
        shape, _ = tool.input.at(properties_of(tool.input.schema).get(parameter.argument, True)).resolved()
    except ReferenceProblem:
        return None
    types = types_of(shape.schema) if isinstance(shape.schema, Mapping) else ()
    if "array" in types:
        return [part for text in texts for part in (text.split(",") if not parameter.explode else [text])]
    text = texts[-1]
    if "string" in types or not types:
        return text
    if {"integer", "number"} & set(types):
        return _number(text, whole="number" not in types)
    return {"true": True, "false": False}.get(text) if "boolean" in types else None


def _number(text: str, *, whole: bool) -> float | None:
    if re.fullmatch(r"-?[0-9]{1,18}", text):
        return int(text)
    return float(text) if not whole and re.fullmatch(r"-?[0-9]{1,18}\.[0-9]{1,18}", text) else None
