"""Which base URL an operation is called under. The operator's configuration decides, never the document.

The egress rules of an upstream come from its configuration alone, so what a document says of its servers is
a suggestion: it is shown where base_url is missing, and operations elsewhere are left out unless listed.
"""

from dataclasses import replace
from urllib.parse import urljoin, urlsplit

from runtime.portal.openapi import OpenApiProblem, OpenApiTools
from runtime.portal.openapi_operation import HttpBinding
from runtime.portal.tool import SkippedTool, Tool
from sandboxes.upstream import TOGETHER, OpenApiUpstream


def place_tools(config: OpenApiUpstream, loaded: OpenApiTools) -> OpenApiTools:
    """Only the tools that can be reached. Raises OpenApiProblem where base_url is missing.

    A base URL that is none of the document's own servers is an override: then every operation is called there.
    """
    if config.base_url is None:
        said = _absolute(config, loaded.servers[0]) if loaded.servers else ""
        hint = f'; the document says "{said[:200]}"' if said.startswith(("http://", "https://")) else ""
        raise OpenApiProblem(f"base_url is missing in the configuration: it decides where requests may go{hint}")
    if missing := sorted({name for key in config.security for name in _schemes(key)} - set(loaded.schemes)):
        known = ", ".join(loaded.schemes) or "none"
        raise OpenApiProblem(f'security names "{missing[0]}", which the document does not declare; it has {known}')
    own = {_origin(_absolute(config, server)) for server in loaded.servers}
    overridden = _origin(config.base_url) not in own
    reasons = {tool.full_name: reason for tool in loaded.tools if (reason := _reason(config, tool, overridden))}
    skipped = (
        SkippedTool(
            upstream=tool.upstream,
            original=f"{tool.binding.method} {tool.binding.path}",
            reason=reasons[tool.full_name],
        )
        for tool in loaded.tools
        if tool.full_name in reasons
    )
    kept = tuple(tool for tool in loaded.tools if tool.full_name not in reasons)
    return replace(loaded, tools=kept, skipped=(*loaded.skipped, *skipped))


def base_of(config: OpenApiUpstream, tool: Tool) -> str:
    """The base URL of one operation: its own server if the configuration lists it, else base_url."""
    listed = {server.rstrip("/"): server for server in config.servers}
    binding: HttpBinding = tool.binding
    return listed.get((binding.server or "").rstrip("/"), config.base_url or "")


def scheme_of(config: OpenApiUpstream, tool: Tool) -> str:
    """The key of `security` whose secrets a call carries; empty for the upstream's `auth`, or none."""
    binding: HttpBinding = tool.binding
    keys = {_schemes(key): key for key in config.security}
    return next((keys[frozenset(each)] for each in binding.security if frozenset(each) in keys), "")


def _schemes(key: str) -> frozenset[str]:
    """The security schemes that a key of `security` is for: one, or several that belong together."""
    return frozenset(key.split(TOGETHER))


def _reason(config: OpenApiUpstream, tool: Tool, overridden: bool) -> str:  # noqa: FBT001 - a fact of the document
    """Why an operation cannot be called; empty if it can."""
    binding: HttpBinding = tool.binding
    if not overridden and _is_elsewhere(config, tool):
        return f"it is served by {(binding.server or '')[:200]}; list that under servers to have it"
    several = [each for each in binding.security if len(each) > 1 and all(name in config.security for name in each)]
    if several and not scheme_of(config, tool) and len(several) == len(binding.security):
        key = TOGETHER.join(several[0])
        return f'it wants {" and ".join(several[0])} at once; list their secrets under security["{key}"]'
    return ""


def _is_elsewhere(config: OpenApiUpstream, tool: Tool) -> bool:
    server = tool.binding.server
    if server is None or base_of(config, tool).rstrip("/") == server.rstrip("/"):
        return False
    return _origin(_absolute(config, server)) != _origin(config.base_url or "")


def _absolute(config: OpenApiUpstream, server: str) -> str:
    remote = config.document.startswith(("http://", "https://"))
    return urljoin(config.document if remote else config.base_url or "", server)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return "", url, None
