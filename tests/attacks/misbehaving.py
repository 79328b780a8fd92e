"""An MCP server over stdio that keeps to no rule: `python misbehaving.py`. No SDK would send what it sends.

Each tool is one thing that a server can do wrong. It behaves until one is called.
"""

import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

OUT = sys.stdout.buffer
CHUNK = b"x" * 65_536
TOOLS: dict[str, Callable[[Any, dict[str, Any]], None]] = {}
LISTED = itertools.count(1)
PAGES: list[bool] = []
SEEN: list[Any] = []
HELD: list[Any] = []
CANCELLED: list[Any] = []


def tool(function: Callable[[Any, dict[str, Any]], None]) -> Callable[[Any, dict[str, Any]], None]:
    TOOLS[function.__name__] = function
    return function


def write(data: bytes) -> None:
    OUT.write(data)
    OUT.flush()


def send(**fields: Any) -> None:
    write(json.dumps({"jsonrpc": "2.0", **fields}).encode() + b"\n")


def text(number: Any, said: str) -> None:
    send(id=number, result={"content": [{"type": "text", "text": said}]})


def forever(*lines: bytes) -> None:
    many = b"".join(line + b"\n" for line in lines) * 100
    while True:
        write(many)


def note(method: str, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": f"notifications/{method}", "params": params}).encode()


@tool
def say(number: Any, arguments: dict[str, Any]) -> None:
    text(number, str(arguments.get("text", "hello")))


@tool
def hang(number: Any, arguments: dict[str, Any]) -> None:
    """Never answer."""


@tool
def flood_log(number: Any, arguments: dict[str, Any]) -> None:
    forever(note("message", level="info", data="x" * 50))


@tool
def flood_progress(number: Any, arguments: dict[str, Any]) -> None:
    forever(note("progress", progressToken=number, progress=1, message="y" * 300))


@tool
def flood_list_changed(number: Any, arguments: dict[str, Any]) -> None:
    forever(note("tools/list_changed"))


@tool
def flood_garbage(number: Any, arguments: dict[str, Any]) -> None:
    forever(b"this is no JSON", b"", b"[1, 2]", b"\xff\xfe")


@tool
def flood_answers(number: Any, arguments: dict[str, Any]) -> None:
    forever(json.dumps({"jsonrpc": "2.0", "id": 987_654_321, "result": {}}).encode())


@tool
def flood_one_line(number: Any, arguments: dict[str, Any]) -> None:
    while True:
        write(CHUNK)


@tool
def flood_requests(number: Any, arguments: dict[str, Any]) -> None:
    """Ask and ask, and read no answer."""
    for asked in itertools.count():
        send(id=f"asked {asked}", method="roots/list")


@tool
def flood_stderr(number: Any, arguments: dict[str, Any]) -> None:
    def pour() -> None:
        while True:
            os.write(2, CHUNK)

    threading.Thread(target=pour, daemon=True).start()
    text(number, "pouring")


@tool
def storm(number: Any, arguments: dict[str, Any]) -> None:
    """Say a few hundred times that the tools changed, and not that they did."""
    for _ in range(300):
        write(note("tools/list_changed") + b"\n")
    text(number, "storm is over")


@tool
def listed(number: Any, arguments: dict[str, Any]) -> None:
    text(number, str(next(LISTED) - 1))


@tool
def endless_pages(number: Any, arguments: dict[str, Any]) -> None:
    PAGES.append(True)
    text(number, "from now on")
    write(note("tools/list_changed") + b"\n")


@tool
def large(number: Any, arguments: dict[str, Any]) -> None:
    """An answer of 10 MiB."""
    write(b'{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"' % json.dumps(number).encode())
    for _ in range(160):
        write(CHUNK)
    write(b'"}]}}\n')


@tool
def large_id_last(number: Any, arguments: dict[str, Any]) -> None:
    write(b'{"result":{"content":[{"type":"text","text":"')
    for _ in range(160):
        write(CHUNK)
    write(b'"}]},"jsonrpc":"2.0","id":%s}\n' % json.dumps(number).encode())


@tool
def bomb(number: Any, arguments: dict[str, Any]) -> None:
    """Small on the wire, large in memory."""
    inner = "[]," * 1_000_000 + "[]"
    write(b'{"jsonrpc":"2.0","id":%s,"result":{"content":[],"structuredContent":{"a":[%s]}}}\n' % (
        json.dumps(number).encode(), inner.encode()
    ))  # fmt: skip


@tool
def deep(number: Any, arguments: dict[str, Any]) -> None:
    inner = "[" * 50_000 + "]" * 50_000
    write(b'{"jsonrpc":"2.0","id":%s,"result":{"content":[],"structuredContent":{"a":%s}}}\n' % (
        json.dumps(number).encode(), inner.encode()
    ))  # fmt: skip


@tool
def another_id(number: Any, arguments: dict[str, Any]) -> None:
    """Answer what was not asked, then what was."""
    text(int(number) + 1_000, "for nobody")
    text("no such id", "for nobody")
    send(id=None, error={"code": -32_603, "message": "for nobody"})
    text(number, "for you")


@tool
def twice(number: Any, arguments: dict[str, Any]) -> None:
    text(number, "first")
    text(number, "second")


@tool
def pair(number: Any, arguments: dict[str, Any]) -> None:
    """Answer two calls, the later one first."""
    HELD.append((number, arguments["text"]))
    if len(HELD) == 2:
        for held, said in reversed(HELD):
            text(held, said)
        HELD.clear()


@tool
def wrong_result(number: Any, arguments: dict[str, Any]) -> None:
    send(id=number, result="a text")


@tool
def wrong_content(number: Any, arguments: dict[str, Any]) -> None:
    send(id=number, result={"content": {"type": 7}, "isError": "perhaps"})


@tool
def wrong_types(number: Any, arguments: dict[str, Any]) -> None:
    """Notifications with members of other types, then the answer."""
    for params in (
        {"progressToken": number, "progress": "much", "total": []},
        {"progressToken": {}, "progress": 1},
        {"progressToken": number, "progress": 1e400, "total": -1, "message": {"a": 1}},
        {"requestId": [number]},
    ):
        for method in ("progress", "cancelled", "tools/list_changed", "subscriptions/acknowledged"):
            write(note(method, **params) + b"\n")
    text(number, "all wrong")


@tool
def surrogates(number: Any, arguments: dict[str, Any]) -> None:
    write(b'{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"\\ud800"}]}}\n'
          % json.dumps(number).encode())  # fmt: skip


@tool
def after_cancel(number: Any, arguments: dict[str, Any]) -> None:
    """Answer once the call was cancelled, and not before."""
    HELD.append(("cancel", number))


@tool
def cancels(number: Any, arguments: dict[str, Any]) -> None:
    text(number, str(len(CANCELLED)))


@tool
def half_and_die(number: Any, arguments: dict[str, Any]) -> None:
    write(b'{"jsonrpc":"2.0","id":')
    os._exit(3)


@tool
def deaf(number: Any, arguments: dict[str, Any]) -> None:
    """Read nothing any more."""
    time.sleep(3_600)


def on_cancelled(params: dict[str, Any]) -> None:
    CANCELLED.append(params.get("requestId"))
    for held in [held for held in HELD if held[0] == "cancel"]:
        HELD.remove(held)
        text(held[1], "too late")


def list_tools(number: Any, params: dict[str, Any]) -> None:
    next(LISTED)
    schema = {"type": "object", "properties": {"text": {"type": "string"}}}
    found: dict[str, Any] = {"tools": [{"name": name, "inputSchema": schema} for name in TOOLS]}
    if PAGES:
        number_of = int(params.get("cursor", "0"))
        extra = [{"name": f"page_{number_of}", "inputSchema": schema}]
        found = {"tools": found["tools"] if not number_of else extra, "nextCursor": str(number_of + 1)}
    send(id=number, result=found)


def take(message: dict[str, Any]) -> None:
    method, number, params = message.get("method"), message.get("id"), message.get("params") or {}
    if method == "initialize":
        send(id=number, result={
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {"listChanged": True}},
            "serverInfo": {"name": "misbehaving", "version": "1"},
        })  # fmt: skip
    elif method == "tools/list":
        list_tools(number, params)
    elif method == "tools/call":
        TOOLS[params["name"]](number, params.get("arguments") or {})
    elif method == "notifications/cancelled":
        on_cancelled(params)
    elif number is not None and method is not None:
        send(id=number, error={"code": -32_601, "message": "there is no such method"})


if __name__ == "__main__":
    for line in sys.stdin.buffer:
        take(json.loads(line))
