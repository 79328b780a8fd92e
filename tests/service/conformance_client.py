"""What the conformance suite starts as a client: an MCP upstream of Lockgate. `python -m ... URL`."""

import asyncio
import os
import sys

from sandboxes.upstream import McpHttpUpstream
from tests.portal.parts import caller_of, context, until, upstreams

ARGUMENTS = {"tools_call": ("suite.add_numbers", {"a": 5, "b": 3}), "sse-retry": ("suite.test_reconnection", {})}


async def main(url: str, scenario: str) -> None:
    """Connect, list, and call what the scenario is about."""
    config = McpHttpUpstream(kind="mcp", url=url, networks=("127.0.0.1/32",))
    async with upstreams({"suite": config}) as running:
        await until(running, lambda: running.states["suite"].phase in {"ready", "down"})
        if scenario in ARGUMENTS:
            name, arguments = ARGUMENTS[scenario]
            await caller_of(running).call(name, arguments, context())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[-1], os.environ["MCP_CONFORMANCE_SCENARIO"]))
