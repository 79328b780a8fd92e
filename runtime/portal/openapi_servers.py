"""Which base URL an operation is called under. The operator's configuration decides, never the document.

The egress rules of an upstream come from its configuration alone, so what a document says of its servers is
a suggestion: it is shown where base_url is missing, and operations elsewhere are left out unless listed.
"""

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from runtime.portal.openapi import OpenApiProblem, OpenApiTools
from runtime.portal.openapi_operation import HttpBinding
from runtime.portal.tool import SkippedTool, Tool
from sandboxes.upstream import OpenApiUpstream


def place_tools(config: OpenApiUpstream, loaded: OpenApiTools) -> OpenApiTools:
    """Only the tools that can be reached. Raises OpenApiProblem where base_url is missing.

    A base URL that is none of the document's own servers is an override: then every operation is called there.
    """
    if config.base_url is None:
        said = _absolute(config, loaded.servers[0]) if loaded.servers else ""
        hint = f'; the document says "{said[:200]}"' if said.startswith(("http://", "https://")) else ""
        raise OpenApiProblem(f"base_url is missing in the configuration: it decides where requests may go{hint}")
    own = {_origin(_absolute(config, server)) for server in loaded.servers}
    if _origin(config.base_url) not in own:
        return loaded
    elsewhere = [tool for tool in loaded.tools if _is_elsewhere(config, tool)]
    reasons = tuple(_reason(tool) for tool in elsewhere)
    kept = tuple(tool for tool in loaded.tools if tool not in elsewhere)
    return replace(loaded, tools=kept, skipped=(*loaded.skipped, *reasons))


def base_of(config: OpenApiUpstream, tool: Tool) -> str:
    """The base URL of one operation: its own server if the configuration lists it, else base_url."""
    listed = {server.rstrip("/"): server for server in config.servers}
    binding: HttpBinding = tool.binding
    return listed.get((binding.server or "").rstrip("/"), config.base_url or "")


def _is_elsewhere(config: OpenApiUpstream, tool: Tool) -> bool:
    server = tool.binding.server
    if server is None or base_of(config, tool).rstrip("/") == server.rstrip("/"):
        return False
    return _origin(_absolute(config, server)) != _origin(config.base_url or "")


def _reason(tool: Tool) -> SkippedTool:
    binding: HttpBinding = tool.binding
    reason = f"it is served by {(binding.server or '')[:200]}; list that under servers to have it"
    return SkippedTool(upstream=tool.upstream, original=f"{binding.method} {binding.path}", reason=reason)


def _absolute(config: OpenApiUpstream, server: str) -> str:
    remote = config.document.startswith(("http://", "https://"))
    return urljoin(config.document if remote else config.base_url or "", server)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", url, None
