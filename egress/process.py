"""The egress process: settings in on standard input, one ready line out, then it serves until its input ends.

After the settings, each further input line is a command, answered by one line:
`{"rule_sets": {digest: RuleSet}}` adds rule sets, `{"revoke": {execution id: expiry of its tokens}}` refuses tokens
and closes their connections, `{"generation": Generation}` replaces what is decided by.
"""

import asyncio
import contextlib
import ctypes
import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
import time
from typing import Any

from pydantic import ValidationError

from sandboxes.egress import EgressSettings

from . import front
from .command import Command, obey
from .dialer import GuardedLoop
from .handover import Handover
from .proxy import Proxy
from .redaction import redactor_for

_LOGGER = logging.getLogger(__name__)
_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4


def main() -> None:
    """Exit status 0 after an ordered end, 1 if it could not start."""
    _confine()
    try:
        settings = EgressSettings.model_validate_json(sys.stdin.buffer.readline())
    except ValidationError as error:
        _fail(f"the settings are not valid: {_messages(error)}")
    with asyncio.Runner(loop_factory=GuardedLoop if not _is_parent(settings) else None) as runner:
        status = runner.run(_lead(settings) if _is_parent(settings) else _serve(settings))
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        os._exit(status)  # nothing is left to close, and idle threads are not waited for


def _is_parent(settings: EgressSettings) -> bool:
    return settings.processes > 1 and settings.shard is None


async def _lead(settings: EgressSettings) -> int:
    """The parent of several processes. What was read beyond the settings' line would be lost, so nothing was."""
    logging.basicConfig(level=logging.ERROR, format="egress: %(levelname)s %(message)s")
    lines = asyncio.StreamReader(limit=64 << 20)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lines.feed_eof)
    threading.Thread(target=_read_lines, args=(lines, loop), name="commands", daemon=True).start()
    return await front.serve(settings, lines)


def _read_lines(lines: asyncio.StreamReader, loop: asyncio.AbstractEventLoop) -> None:
    with contextlib.suppress(RuntimeError, OSError):
        while line := sys.stdin.buffer.readline():
            loop.call_soon_threadsafe(lines.feed_data, line)
        loop.call_soon_threadsafe(lines.feed_eof)


async def _serve(settings: EgressSettings) -> int:
    try:
        proxy = Proxy(settings)
    except (OSError, ValueError) as error:
        _say({"ready": False, "error": str(error)})
        return 1
    _log_to_stderr(proxy)
    _end_on_signals(proxy)
    starter = _Starter(proxy)
    if settings.handover_fd is not None:
        Handover(socket.socket(fileno=settings.handover_fd), proxy.serve)
    proxy.addons.add(starter)
    await proxy.secrets.load()
    await proxy.run()
    return starter.status


class _Starter:
    """Tells that the proxy listens, once it does, and starts listening to commands."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.status = 0

    def running(self) -> None:
        try:
            port = self._proxy.ready()
        except OSError as error:
            self.status = 1
            _say({"ready": False, "error": str(error)})
            self._proxy.stop()
            return
        # Before the word goes out: a parent that is gone by now is known by the end of the input alone.
        loop = asyncio.get_running_loop()
        threading.Thread(target=_follow, args=(self._proxy, loop), name="commands", daemon=True).start()
        warnings = self._proxy.secrets.warnings()
        _say({"ready": True, "port": port, "ca_file": str(self._proxy.ca_file), "warnings": warnings})


def _follow(proxy: Proxy, loop: asyncio.AbstractEventLoop) -> None:
    """Commands, line by line; the end of input ends the proxy."""
    with contextlib.suppress(RuntimeError, OSError):
        while line := sys.stdin.buffer.readline():
            loop.call_soon_threadsafe(_command, proxy, line)
    proxy.stop()


def _command(proxy: Proxy, line: bytes) -> None:
    try:
        command = Command.model_validate_json(line)
        obey(command, proxy, time.time())
    except ValidationError as error:
        _say({"done": False, "error": _messages(error)})
    except ValueError as error:
        _say({"done": False, "error": str(error)})
    else:
        _say({"done": True})


def _confine() -> None:
    """Die with the parent; leave no core, and nothing another process of this user could read."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    libc.prctl(_PR_SET_DUMPABLE, 0)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor ends us in order
    os.umask(0o077)


def _end_on_signals(proxy: Proxy) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, proxy.stop)


class _RedactedLines(logging.Formatter):
    """mitmproxy's log lines may quote what was on the wire."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__("egress: %(levelname)s %(message)s")
        self._proxy = proxy

    def format(self, record: logging.LogRecord) -> str:
        secrets = (*self._proxy.secrets.known(), *self._proxy.former_secrets)
        return redactor_for(frozenset((secret.name, secret.expose()) for secret in secrets)).text(
            super().format(record)
        )


def _log_to_stderr(proxy: Proxy) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_RedactedLines(proxy))
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    # What nobody catches is written without a formatter otherwise, and its text may quote what was on the wire.
    sys.excepthook = lambda kind, error, trace: _LOGGER.critical("uncaught", exc_info=(kind, error, trace))
    threading.excepthook = lambda args: _LOGGER.critical("uncaught in a thread", exc_info=args.exc_value)
    sys.unraisablehook = lambda raised: _LOGGER.critical("unraisable", exc_info=raised.exc_value)


def _messages(error: ValidationError) -> str:
    """Where and what, without the values: they may be keys."""
    return "; ".join(f"{'.'.join(map(str, item['loc'])) or 'settings'}: {item['msg']}" for item in error.errors())


def _say(line: dict[str, Any]) -> None:
    """One line to the parent. If it is gone, the end of the input tells so."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def _fail(reason: str) -> None:
    _say({"ready": False, "error": reason})
    raise SystemExit(1)
