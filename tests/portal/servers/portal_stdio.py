"""The pair over standard input and output, on a face that runs nothing: for the tests of the MCP server."""

import asyncio

from runtime.portal.mcp_server import portal_server, serve_stdio
from tests.portal.fake_face import FakeFace

if __name__ == "__main__":
    asyncio.run(serve_stdio(portal_server(FakeFace(), "9.9")))
