"""What an MCP server offers at one moment, and how soon it is looked at again."""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import mcp_types
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

from runtime.portal.mcp_inflow import FloodError, Inflow, Pace
from runtime.portal.mcp_tools import MAX_TOOLS

MAX_PAGES: Final = 200
_LEAST_PAUSE_S: Final = 0.1
_SHARE: Final = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Offered:
    """What a server has besides tools: whether there is any resource, resource template or prompt."""

    resources: bool = False
    templates: bool = False
    prompts: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing:
    """`cut` says why the list of tools is not whole; empty if it is."""

    tools: list[mcp_types.Tool]
    offered: Offered = field(default_factory=Offered)
    cut: str = ""


async def read_listing(client: Client, inflow: Inflow) -> Listing:
    """Ask for everything. Raises MCPError, FloodError for a list that is too large."""
    began = inflow.total
    tools: list[mcp_types.Tool] = []
    cursor: str | None = None
    seen: set[str] = set()
    cut = f"its list of tools goes on after {MAX_PAGES} pages; the rest was not read"
    for _ in range(MAX_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        cursor = page.next_cursor
        if inflow.total - began > inflow.bounds.listing_bytes:
            raise FloodError(f"its list of tools has more than {inflow.bounds.listing_bytes} bytes")
        if cursor is None or cursor in seen or len(tools) > MAX_TOOLS:
            cut = ""
            break
        seen.add(cursor)
    # The SDK keeps schemas and headers by the names of every list it has seen.
    for kept in (client.session._tool_output_schemas, client.session._tool_output_validators):  # noqa: SLF001 - no door
        kept.clear()
    return Listing(tools=tools, offered=await _offered(client), cut=cut)


async def _offered(client: Client) -> Offered:
    """Servers made with a framework say that they have resources and prompts whether they do or not: so look."""
    can = client.server_capabilities
    if can is None:
        return Offered()
    return Offered(
        resources=can.resources is not None and await _any(client.list_resources, "resources"),
        templates=can.resources is not None and await _any(client.list_resource_templates, "resource_templates"),
        prompts=can.prompts is not None and await _any(client.list_prompts, "prompts"),
    )


async def _any(ask: Callable[[], Awaitable[Any]], member: str) -> bool:
    try:
        return bool(getattr(await ask(), member))
    except MCPError:
        return False


class Relisting:
    """How long to leave a server alone after a listing: it may say as often as it likes that its tools changed.

    Four times as long as the listing took, so that it costs at most a fifth of the time; and after ten lists that were
    different from the one before, one in thirty seconds, because everybody's search is indexed again for each.
    """

    def __init__(self) -> None:
        self._changes = Pace(burst=10, per_s=1 / 30)

    def pause_s(self, took_s: float, *, changed: bool) -> float:
        """Seconds."""
        wait = self._changes.spend(1, time.monotonic()) if changed else 0.0
        return max(_LEAST_PAUSE_S, _SHARE * took_s, wait)
