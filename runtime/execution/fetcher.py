"""A program's `fetch`: the guest interface's request and answer, over the egress proxy."""

import base64
import binascii
import json
import time
from typing import Any, get_args
from urllib.parse import urlsplit

from runtime.execution.host_calls import Answer
from runtime.execution.hostcall import CallContext
from runtime.execution.literal_request import LiteralRequest, Preview, body_text
from runtime.execution.outbound import Headers, Outbound, OutboundError, OutboundRequest
from runtime.execution.redirects import Fetched, Mode, fetch
from sandboxes.call_facts import effect_of_method

_MODES: tuple[str, ...] = get_args(Mode)


class ProgramFetcher:
    """The `Fetcher` of executions."""

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound

    async def fetch(self, request: dict[str, Any], context: CallContext, rules: str) -> Answer:
        """Fetch under the rule set `rules` (a digest). Raises HostCallError."""
        mode = request.get("redirect", "follow")
        if mode not in _MODES:
            raise OutboundError("invalid_argument", f"redirect is one of {', '.join(_MODES)}, not {mode!r}")
        outbound = parse_fetch(request, context)
        fetched = await fetch(self._outbound, outbound, context.token(rules), mode)
        note = fetched.response.egress
        return Answer(
            payload=render_fetched(fetched),
            http_status=fetched.response.status,
            bytes_in=len(fetched.response.body),
            egress=f"rule {note.rule}",
            credential=note.credential or "",
        )


def preview_fetch(request: dict[str, Any], context: CallContext) -> Preview:
    """The request that a fetch would begin with. Raises OutboundError."""
    outbound = parse_fetch(request, context)
    body, encoded = body_text(outbound.body)
    parts = urlsplit(outbound.url)
    method = outbound.method.upper()
    literal = LiteralRequest(
        protocol="http", method=method, url=outbound.url, headers=outbound.headers, body=body, base64=encoded
    )
    return Preview(
        tool="",
        words=f"fetch: {method} {outbound.url.partition('?')[0]}",
        request=literal,
        target=f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
        effect=effect_of_method(method, open_world=True),
        arguments=request,
    )


def parse_fetch(request: dict[str, Any], context: CallContext) -> OutboundRequest:
    """The guest's request as one to send. Raises OutboundError naming the field that is wrong."""
    left = context.deadline - time.monotonic()
    timeout_ms = request.get("timeout_ms")
    if timeout_ms is not None and (not isinstance(timeout_ms, int) or timeout_ms < 0):
        raise OutboundError("invalid_argument", "timeout_ms is a whole number of milliseconds, or null")
    return OutboundRequest(
        url=_text(request, "url"),
        method=_text(request, "method", "GET"),
        headers=_headers(request.get("headers") or []),
        body=_body(request),
        timeout_s=left if timeout_ms is None else min(left * 1000, timeout_ms) / 1000,
        max_response_bytes=context.max_response_bytes,
    )


def render_fetched(fetched: Fetched) -> str:
    """The answer as the guest's JSON: the body as text if it is UTF-8, else base64."""
    response = fetched.response
    try:
        body, encoded = response.body.decode(), False
    except UnicodeDecodeError:
        body, encoded = base64.b64encode(response.body).decode(), True
    answer = {
        "url": fetched.url,
        "redirected": fetched.redirected,
        "status": response.status,
        "status_text": response.reason,
        "headers": [[name.lower(), value] for name, value in response.headers],
        "body": body,
        "body_base64": encoded,
    }
    return json.dumps(answer)


def _text(request: dict[str, Any], name: str, default: str | None = None) -> str:
    value = request.get(name, default)
    if not isinstance(value, str) or not value:
        raise OutboundError("invalid_argument", f"{name} is missing or is not text")
    return value


def _headers(pairs: Any) -> Headers:
    well_formed = isinstance(pairs, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair)  # noqa: PLR2004
        for pair in pairs
    )
    if not well_formed:
        raise OutboundError("invalid_argument", "headers is a list of [name, value] pairs")
    return tuple((name, value) for name, value in pairs)


def _body(request: dict[str, Any]) -> bytes | None:
    body = request.get("body")
    if body is None:
        return None
    if not isinstance(body, str):
        raise OutboundError("invalid_argument", "body is text or null")
    if not request.get("body_base64"):
        return body.encode(errors="surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise OutboundError("invalid_argument", "body is said to be base64 and is not") from None
