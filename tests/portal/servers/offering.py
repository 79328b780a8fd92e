"""An MCP server with resources, templates and prompts by the official SDK, and a tool that reports its progress."""

import asyncio
import sys

import mcp_types
from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("offering")


@server.resource("memo://today", mime_type="text/plain")
def today() -> str:
    """What is to be done today."""
    return "water the plants"


@server.resource("memo://picture", mime_type="image/png")
def picture() -> bytes:
    """A dot."""
    return b"\x89PNG"


@server.resource("memo://{day}/list")
def of_day(day: str) -> str:
    """What is to be done on a day."""
    return f"nothing on {day}"


@server.prompt()
def plan(day: str, tone: str = "plain") -> str:
    """Plan a day."""
    return f"Plan {day}, {tone}."


@server.tool(name="resources_list", annotations=mcp_types.ToolAnnotations(read_only_hint=True))
def own(kind: str) -> str:
    """A tool that has a name of Lockgate's."""
    return f"own {kind}"


@server.tool(structured_output=False)
async def count(to: int, context: Context) -> str:
    """Count, and say so at each step."""
    for number in range(1, to + 1):
        await context.report_progress(number, to, f"step {number}")
        await asyncio.sleep(0)
    return "done"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
