"""A tool call as what would be sent for it."""

import json
from collections.abc import Mapping
from typing import Any

from runtime.execution.literal_request import Inverse, LiteralRequest, Preview, body_text
from runtime.portal.http_call import HttpRequest
from runtime.portal.mcp_tools import McpBinding
from runtime.portal.tool import Tool
from runtime.portal.tool_digest import tool_digest
from sandboxes.upstream import InverseTool


def http_request(request: HttpRequest) -> LiteralRequest:
    """As the egress proxy is asked for it."""
    body, encoded = body_text(request.body)
    return LiteralRequest(
        protocol="http",
        method=request.method.upper(),
        url=request.url,
        headers=request.headers,
        body=body,
        base64=encoded,
    )


def mcp_request(binding: McpBinding, arguments: dict[str, Any], target: str) -> LiteralRequest:
    """The request of an MCP server by its own names."""
    of_a_tool = binding.method == "tools/call"
    params = {"name": binding.name, "arguments": arguments} if of_a_tool else arguments
    body = json.dumps(params, ensure_ascii=False)
    return LiteralRequest(protocol="mcp", method=binding.method, url=target, body=body)


def client_request(name: str, arguments: dict[str, Any]) -> LiteralRequest:
    """The call of a function of the calling client."""
    return LiteralRequest(protocol="client", method="call", url=name, body=json.dumps(arguments, ensure_ascii=False))


def inverse_of(tool: Tool, inverses: Mapping[str, InverseTool]) -> Inverse | None:
    """What undoes a call of a tool, as its upstream's configuration declares, or the client that offers it."""
    declared = inverses.get(tool.name)
    if declared is None:
        return tool.inverse
    return Inverse(tool=f"{tool.upstream}.{declared.tool}", arguments=declared.arguments)


def preview_of(
    tool: Tool,
    arguments: dict[str, Any],
    request: LiteralRequest,
    target: str,
    inverses: Mapping[str, InverseTool],
) -> Preview:
    """What is known of a call of `tool` with checked arguments."""
    where = f"{request.method} {request.url.partition('?')[0]}"
    return Preview(
        tool=tool.full_name,
        words=f"{tool.full_name}: {tool.summary} ({where})",
        request=request,
        target=target,
        effect=tool.effect,
        schema=tool_digest(tool),
        inverse=inverse_of(tool, inverses),
        arguments=arguments,
    )
