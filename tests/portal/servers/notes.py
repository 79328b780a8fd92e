"""An MCP server by the official SDK: `python notes.py stdio`, or `python notes.py http PORT`."""

import asyncio
import os
import sys

import mcp_types
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

server = MCPServer("notes")
NOTES: dict[int, str] = {}
CANCELLED: list[float] = []


class Note(BaseModel):
    """A note."""

    id: int
    text: str
    tags: list[str] = []


@server.tool()
def add_note(text: str, tags: list[str] | None = None) -> Note:
    """Keep a note. Returns it with its id."""
    number = len(NOTES) + 1
    NOTES[number] = text
    return Note(id=number, text=text, tags=tags or [])


@server.tool(name="list-notes", annotations=mcp_types.ToolAnnotations(read_only_hint=True))
def list_notes(limit: int = 10) -> list[Note]:
    """List the notes."""
    return [Note(id=number, text=text) for number, text in list(NOTES.items())[:limit]]


@server.tool(structured_output=False)
def say(text: str) -> str:
    """Say a text as it is."""
    return text


@server.tool(structured_output=False)
def picture() -> list[object]:
    """Text and an image."""
    return ["a dot", Image(data=b"\x89PNG", format="png")]


@server.tool(structured_output=False)
def fail(reason: str) -> str:
    """Fail."""
    raise ToolError(reason)


@server.tool(structured_output=False)
async def hang(seconds: float = 3600) -> str:
    """Answer much later."""
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        CANCELLED.append(seconds)
        raise
    return "done"


@server.tool(structured_output=False)
def cancelled() -> int:
    """How many calls of hang were cancelled."""
    return len(CANCELLED)


@server.tool(structured_output=False)
def die() -> str:
    """End the server at once."""
    os._exit(3)


@server.tool(structured_output=False)
def environment() -> dict[str, str]:
    """The variables this process sees."""
    return dict(os.environ)


@server.tool(name="then", structured_output=False)
def hostile(constructor: str) -> str:
    """A name that would make a promise of its upstream."""
    return constructor


@server.tool(structured_output=False)
async def whoami(context: Context) -> str:
    """The authorization this request came with."""
    request = context.request_context.request
    return request.headers.get("x-test-token", "none") if request is not None else "stdio"


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
