"""The gateway process: `python -m runtime.service.gateway`. Loads little before its workers have begun to start.

Settings come as one JSON line on standard input, the egress proxy's address as a later one; a ready line goes
out on standard output. The end of the input ends the gateway.
"""

import asyncio
import ctypes
import gc
import importlib
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from runtime.service.foundations import Foundations
from runtime.service.settings import GatewaySettings
from sandboxes.state import open_state

log = logging.getLogger(__name__)


async def _serve(settings: GatewaySettings, lines: asyncio.StreamReader) -> None:
    state = open_state(settings.state_dir)
    foundations = Foundations(settings, state)
    # In a thread of its own: half a second, in which the zygote is started.
    serving = await asyncio.to_thread(importlib.import_module, "runtime.service.serving")
    await serving.serve(settings, state, foundations, lines, _say)


def _say(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


async def _main() -> None:
    lines = asyncio.StreamReader(limit=64 << 20)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    try:
        settings = GatewaySettings.model_validate_json(await lines.readline())
        loop.add_signal_handler(signal.SIGTERM, lines.feed_eof)
        await _serve(settings, lines)
    except (ValidationError, OSError, RuntimeError, TimeoutError, ValueError) as error:
        log.debug("the gateway did not start", exc_info=True)
        _say({"ready": False, "error": str(error)})


def main() -> None:
    """Run until told to end."""
    gc.disable()  # until there is something to serve: what is loaded stays
    logging.basicConfig(level=logging.INFO, format="gateway: %(levelname)s %(message)s", stream=sys.stderr)
    # What a server cannot make them say as often as it likes: the SDK logs what it cannot read, with its content, and
    # its HTTP client every request.
    for name in ("mcp", "client", "httpx2"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    # A connection that broke cannot be closed either: the store says in one line what is wrong.
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    asyncio.run(_main())
    sys.stdout.flush()


if __name__ == "__main__":
    main()
