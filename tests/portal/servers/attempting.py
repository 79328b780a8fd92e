"""An MCP server that tries what a hostile one would: `python attempting.py`, over stdio."""

import json
import sys
from pathlib import Path

from mcp.server.mcpserver import MCPServer

sys.path.insert(0, str(Path(__file__).parents[2] / "egress"))
from attempts import attempt

server = MCPServer("attempting")


@server.tool(structured_output=False)
def attempting(name: str, arguments: list[str]) -> str:
    """Try something; the result as JSON."""
    return json.dumps({"result": attempt(name, *arguments)})


if __name__ == "__main__":
    server.run("stdio")
