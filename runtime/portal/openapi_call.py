"""Calling an OpenAPI operation: arguments to a request, the answer to a value or an error. No I/O but the port."""

import asyncio
import base64
import itertools
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote, urljoin, urlsplit

from runtime.execution.hostcall import Code, HostCallError
from runtime.portal.arguments import checked_arguments
from runtime.portal.http_call import RETRYABLE, HttpBounds, HttpReply, HttpRequest, HttpSend, blamed
from runtime.portal.http_retry import RetryPolicy, retry_after_s, wait_before_again
from runtime.portal.openapi_body import encode, is_json
from runtime.portal.openapi_links import Exchange, next_by_link, related_calls
from runtime.portal.openapi_operation import HttpBinding
from runtime.portal.openapi_pages import links_of, next_arguments
from runtime.portal.openapi_parameter import Parameter, cookie_text, header_text, path_text, query_pairs
from runtime.portal.signature import Language
from runtime.portal.tool import Tool, ToolReply
from sandboxes.bounded_json import MOST_ANSWER_VALUES, loads

MAX_DETAIL_BYTES: Final = 8 << 10
MAX_REDIRECTS: Final = 3
MAX_HEADER_BYTES: Final = 16 << 10
_HIDDEN_HEADERS: Final = frozenset(
    ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "set-cookie", "set-cookie2")
)

_CODES: Final[dict[int, Code]] = {
    404: "not_found",
    410: "not_found",
    408: "timeout",
    504: "timeout",
    502: "unavailable",
    503: "unavailable",
}
_MESSAGE_BYTES = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """Where an operation is called, with which headers, by which way, how patiently; `language` is for errors."""

    base_url: str
    headers: Mapping[str, str]
    send: HttpSend
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    language: Language = "javascript"


async def call_openapi(tool: Tool, arguments: Any, api: Api, bounds: HttpBounds) -> ToolReply:
    """The parsed answer of one call. Raises HostCallError."""
    checked = checked_arguments(tool, arguments, api.language)
    request = build_request(tool, checked, base_url=api.base_url, headers=api.headers)
    try:
        reply, tries = await _insisted(request, tool, api, bounds)
    except HostCallError as error:
        raise blamed(error, tool.full_name, read_only=tool.read_only) from error
    value = read_reply(tool, reply, tries)
    links = links_of(reply)
    related = related_calls(Exchange(tool=tool, arguments=checked, reply=reply, value=value))
    return ToolReply(
        value=value,
        headers=shown_headers(reply),
        links=links,
        related=related,
        next=next_by_link(tool, checked, related) or next_arguments(tool, checked, links, value),
        http_status=reply.status,
        bytes_in=len(reply.body),
        egress=reply.egress,
        credential=reply.credential,
    )


async def _insisted(request: HttpRequest, tool: Tool, api: Api, bounds: HttpBounds) -> tuple[HttpReply, int]:
    """The answer, after as many tries as the policy allows, and how many there were."""
    waited = 0.0
    for tried in itertools.count(1):
        reply = await _followed(request, api.send, bounds)
        wait = wait_before_again(
            api.retry,
            reply,
            tried=tried,
            waited_s=waited,
            left_s=bounds.deadline - time.monotonic(),
            now=time.time(),
            read_only=tool.read_only,
        )
        if wait is None:
            return reply, tried
        waited += wait
        await api.sleep(wait)
    raise AssertionError  # a count has no end


def shown_headers(reply: HttpReply) -> dict[str, str]:
    """The answer's headers for a program, without those of the connection and cookies, bounded in size."""
    shown: dict[str, str] = {}
    room = MAX_HEADER_BYTES
    for name, value in reply.headers:
        room -= len(name) + len(value)
        if room < 0:
            break
        if name not in _HIDDEN_HEADERS:
            shown[name] = f"{shown[name]}, {value}" if name in shown else value
    return shown


async def _followed(request: HttpRequest, send: HttpSend, bounds: HttpBounds) -> HttpReply:
    reply = await send(request, bounds)
    for _ in range(MAX_REDIRECTS):
        target = redirect_target(request, reply)
        if target is None:
            break
        request = HttpRequest(method=request.method, url=target, headers=request.headers, body=request.body)
        reply = await send(request, bounds)
    return reply


def build_request(
    tool: Tool, arguments: dict[str, Any], *, base_url: str, headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """The request for checked arguments. Raises HostCallError for what the wire cannot carry."""
    binding: HttpBinding = tool.binding
    try:
        path, query, extra, cookies = _placed(binding, arguments)
        body, media_type = None, ""
        if binding.body is not None and "body" in arguments:
            body, media_type = encode(binding.body, arguments["body"])
    except (ValueError, RecursionError) as error:
        said = "the arguments are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise HostCallError("invalid_argument", f"{tool.full_name}: {said}", tool=tool.full_name) from None
    sent = {"accept": binding.accept, **{key.lower(): value for key, value in (headers or {}).items()}, **extra}
    if media_type:
        sent["content-type"] = media_type
    if cookies:
        sent["cookie"] = "; ".join(cookies)
    url = base_url.rstrip("/") + path + (f"?{query}" if query else "")
    return HttpRequest(method=binding.method, url=url, headers=tuple(sent.items()), body=body)


def _placed(binding: HttpBinding, arguments: dict[str, Any]) -> tuple[str, str, dict[str, str], list[str]]:
    """Path, query, headers and cookies."""
    path, query, headers, cookies = binding.path, [], {}, []
    for parameter in binding.parameters:
        if parameter.argument not in arguments:
            continue
        value = arguments[parameter.argument]
        match parameter.location:
            case "path":
                path = path.replace(f"{{{parameter.wire}}}", _path_part(parameter, value))
            case "query":
                query += [f"{name}={text}" for name, text in query_pairs(parameter, value)]
            case "header":
                headers[parameter.wire.lower()] = _named(parameter, header_text, value)
            case "cookie":
                cookies.append(cookie_text(parameter, value))
    return path, "&".join(query), headers, cookies


def _path_part(parameter: Parameter, value: Any) -> str:
    text = path_text(parameter, value)
    if not text or any(unquote(part) in (".", "..") for part in text.split("/")):
        raise ValueError(f'{parameter.argument}: a part of a path may not be empty, "." or ".."')
    return text


def _named(parameter: Parameter, write: Any, value: Any) -> str:
    try:
        return str(write(parameter, value))
    except ValueError as error:
        raise ValueError(f"{parameter.argument}: {error}") from None


def redirect_target(request: HttpRequest, reply: HttpReply) -> str | None:
    """Where to ask again: the same method, under the same origin. None for every other answer."""
    location = reply.header("location")
    again = reply.status in (307, 308) or (reply.status in (301, 302) and request.method in ("GET", "HEAD"))
    if not again or not location:
        return None
    target = urljoin(request.url, location)
    same = urlsplit(target)[:2] == urlsplit(request.url)[:2]
    return target.split("#", 1)[0] if same else None


def read_reply(tool: Tool, reply: HttpReply, tries: int = 1) -> Any:
    """JSON parsed, other text as it is, bytes as `{base64, content_type}`, nothing as None.

    A documented redirect to elsewhere is `{status, location}`: a download to fetch. Raises HostCallError.
    """
    binding: HttpBinding = tool.binding
    if reply.status >= 400:  # noqa: PLR2004 - RFC 9110, 15
        raise _error(tool, reply, tries)
    if reply.status >= 300:  # noqa: PLR2004 - RFC 9110, 15
        if reply.status in binding.redirects:
            return {"status": reply.status, "location": reply.header("location") or None}
        where = reply.header("location") or "nowhere"
        raise HostCallError(
            "upstream_error",
            f"{tool.full_name}: the upstream answered {reply.status} and points to {where}",
            status=reply.status,
            tool=tool.full_name,
        )
    return _value(reply)


def _value(reply: HttpReply) -> Any:
    if not reply.body:
        return None
    media_type = reply.header("content-type")
    try:
        text = reply.body.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(reply.body).decode(), "content_type": media_type or None}
    if media_type and not is_json(media_type):
        return text
    try:
        return loads(text, most_values=MOST_ANSWER_VALUES, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _error(tool: Tool, reply: HttpReply, tries: int) -> HostCallError:
    details = _details(reply)
    said = _said(details)
    times = f", {tries} times" if tries > 1 else ""
    message = f"{tool.full_name}: the upstream answered {reply.status}{times}" + (f": {said}" if said else "")
    return HostCallError(
        _CODES.get(reply.status, "upstream_error"),
        message,
        status=reply.status,
        retryable=reply.status in RETRYABLE,
        tool=tool.full_name,
        details=details,
        egress=reply.egress,
        retry_after=retry_after_s(reply, time.time()),
    )


def _details(reply: HttpReply) -> Any:
    """The error body for the program, cut as text where it is long."""
    if len(reply.body) > MAX_DETAIL_BYTES:
        return reply.body[:MAX_DETAIL_BYTES].decode("utf-8", "replace") + "..."
    value = _value(reply)
    return value if value != "" else None


def _said(details: Any) -> str:
    """What the body says in words, from the members error bodies usually have (RFC 9457 among them)."""
    if isinstance(details, str):
        return " ".join(details[:_MESSAGE_BYTES].split())
    for key in ("message", "detail", "error_description", "error", "title"):
        said = details.get(key) if isinstance(details, dict) else None
        if isinstance(said, dict):
            said = said.get("message")
        if isinstance(said, str) and said.strip():
            return " ".join(said[:_MESSAGE_BYTES].split())
    return ""
