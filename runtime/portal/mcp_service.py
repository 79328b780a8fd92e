"""An MCP upstream as its configuration describes it: its wire, its bounds, what is chosen of its tools."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from runtime.enclosure.enclosure import Way
from runtime.portal.mcp_review import ReviewFile
from runtime.portal.mcp_tools import ToolChoice
from runtime.portal.mcp_transport import McpWire, TransportFactory, http_wire, stdio_wire
from runtime.portal.mcp_upstream import McpService
from runtime.portal.upstream import ServiceToken
from runtime.portal.upstream_state import Backoff
from sandboxes.upstream import McpHttpUpstream, McpStdioUpstream


def mcp_service(  # noqa: PLR0913 - what an MCP upstream needs
    name: str,
    config: McpStdioUpstream | McpHttpUpstream,
    *,
    transport: TransportFactory,
    service_token: ServiceToken,
    way: Callable[[Callable[[], str]], Way],
    backoff: Backoff,
    reviews: Path | None,
) -> McpService:
    """Not started yet. `reviews`: where the definitions of tools that somebody reviewed are, None for nowhere."""
    rules = config.rule_set(name).digest()

    def token() -> str:
        return service_token(name, rules)

    def open_wire() -> AbstractAsyncContextManager[McpWire]:
        if isinstance(config, McpStdioUpstream):
            return stdio_wire(config, way(token))
        return http_wire(config, transport, token)

    return McpService(
        name,
        open_wire,
        rules=rules,
        call_timeout_s=config.call_timeout_ms / 1_000,
        backoff=backoff,
        review=ReviewFile(reviews, name, config.review) if reviews is not None else None,
        choice=ToolChoice(allow=config.allow, deny=config.deny, aliases=config.aliases),
        target=config.url if isinstance(config, McpHttpUpstream) else "",
        inverses=config.inverses,
    )
