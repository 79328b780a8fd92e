"""An MCP server over HTTP that keeps to no rule: `python -m tests.attacks.misbehaving_http`, which gives its URL."""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

CHUNK = b"x" * 65_536
OPENED: list[float] = []


def event(**fields: Any) -> bytes:
    return b"data: " + json.dumps({"jsonrpc": "2.0", **fields}).encode() + b"\n\n"


def text(number: Any, said: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "result": {"content": [{"type": "text", "text": said}]}}


async def endless(part: bytes) -> AsyncIterator[bytes]:
    while True:
        yield part
        await asyncio.sleep(0)


def stream(parts: AsyncIterator[bytes]) -> Response:
    return StreamingResponse(parts, media_type="text/event-stream")


def say(number: Any) -> Response:
    return JSONResponse(text(number, "hello"))


async def hang(_: Any) -> Response:
    await asyncio.sleep(3_600)
    return Response()


def endless_body(_: Any) -> Response:
    return StreamingResponse(endless(CHUNK), media_type="application/json")


def endless_event(_: Any) -> Response:
    return stream(endless(b"data: " + CHUNK + b"\n"))


def endless_comments(_: Any) -> Response:
    return stream(endless(b": still here\n\n" * 1_000))


def endless_log(_: Any) -> Response:
    return stream(endless(event(method="notifications/message", params={"level": "info", "data": "x"}) * 50))


def bomb(number: Any) -> Response:
    inner = "[]," * 1_000_000 + "[]"
    body = (
        f'{{"jsonrpc":"2.0","id":{json.dumps(number)},"result":{{"content":[],"structuredContent":{{"a":[{inner}]}}}}}}'
    )
    return Response(body, media_type="application/json")


def another_id(_: Any) -> Response:
    return JSONResponse(text(987_654_321, "for nobody"))


def no_type(_: Any) -> Response:
    return Response(b"\x00\x01", media_type="image/png")


def wrong_result(number: Any) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": number, "result": "a text"})


def refused(_: Any) -> Response:
    return StreamingResponse(endless(CHUNK), status_code=400, media_type="application/json")


def ends_and_ends(_: Any) -> Response:
    """Streams that end before the answer, to be taken up again at once, without end."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"id: 1\nretry: 0\ndata:\n\n"

    return stream(parts())


def opened(number: Any) -> Response:
    return JSONResponse(text(number, str(len(OPENED))))


TOOLS: dict[str, Callable[[Any], Any]] = {
    each.__name__: each
    for each in (
        say, hang, endless_body, endless_event, endless_comments, endless_log, bomb, another_id, no_type, wrong_result,
        refused, ends_and_ends, opened,
    )
}  # fmt: skip


async def answer(request: Request) -> Response:
    if request.method == "GET":
        OPENED.append(asyncio.get_running_loop().time())
        return ends_and_ends(0)
    if request.method == "DELETE":
        return Response(status_code=200)
    message = json.loads(await request.body())
    method, number = message.get("method"), message.get("id")
    if number is None:
        return Response(status_code=202)
    if method == "initialize":
        result = {
            "protocolVersion": "2025-06-18",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "misbehaving", "version": "1"},
        }
        headers = {"mcp-session-id": "one"}
        return JSONResponse({"jsonrpc": "2.0", "id": number, "result": result}, headers=headers)
    if method == "tools/list":
        tools = [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]
        return JSONResponse({"jsonrpc": "2.0", "id": number, "result": {"tools": tools}})
    if method == "tools/call":
        made = TOOLS[message["params"]["name"]](number)
        found = await made if asyncio.iscoroutine(made) else made
        assert isinstance(found, Response)
        return found
    error = {"code": -32_601, "message": "there is no such method"}
    return JSONResponse({"jsonrpc": "2.0", "id": number, "error": error}, status_code=404)


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(json.dumps({"url": f"http://127.0.0.1:{listener.getsockname()[1]}/mcp"}) + "\n")
        sys.stdout.flush()
        app = Starlette(routes=[Route("/mcp", answer, methods=["GET", "POST", "DELETE"])])
        uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", timeout_graceful_shutdown=0)).run(
            sockets=[listener]
        )


if __name__ == "__main__":
    main()
