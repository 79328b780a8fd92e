"""An MCP server whose tools are what a file says: `python changing.py FILE`. The file is read at every listing."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import mcp_types
from mcp.server.lowlevel.server import Server
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.subscriptions import ToolsListChanged

FILE = Path(sys.argv[1])
BUS = InMemorySubscriptionBus()


def read() -> str:
    return FILE.read_text()


async def list_tools(_: Any, __: Any) -> mcp_types.ListToolsResult:
    """Whatever the file says now."""
    return mcp_types.ListToolsResult.model_validate({"tools": json.loads(read())})


async def call_tool(context: Any, params: mcp_types.CallToolRequestParams) -> mcp_types.CallToolResult:
    """The name of the tool. One called `look` also says that the tools changed."""
    if params.name == "look":
        await BUS.publish(ToolsListChanged())
        await context.session.send_tool_list_changed()
    return mcp_types.CallToolResult(content=[mcp_types.TextContent(text=params.name)])


async def main() -> None:
    server: Server[Any] = Server(
        "changing", on_list_tools=list_tools, on_call_tool=call_tool, on_subscriptions_listen=ListenHandler(BUS)
    )
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


if __name__ == "__main__":
    asyncio.run(main())
