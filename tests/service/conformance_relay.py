"""Between the MCP conformance suite and a cell: adds the bearer token, and calls programs for the suite's tools.

The suite expects a server that has tools named for its scenarios, and cannot authenticate. Lockgate has two tools, so
the relay rewrites the name and arguments of such a call, and nothing else: what is judged is what the cell answers.
"""

import json
from collections.abc import AsyncIterator
from typing import Any, Final

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from runtime.portal.how_to import URI

PROGRAMS: Final = {
    "test_simple_text": "return 'This is a simple text response for testing.'",
    "test_image_content": "await emit('dot.png', new Uint8Array([137, 80, 78, 71]), 'image/png')",
    "test_audio_content": "await emit('beep.wav', new Uint8Array([82, 73, 70, 70]), 'audio/wav')",
    "test_embedded_resource": "await emit('note.txt', 'This is an embedded resource content.', 'text/plain')",
    "test_multiple_content_types": """
        await emit('dot.png', new Uint8Array([137, 80, 78, 71]), 'image/png');
        await emit('data.json', '{"test": "data"}', 'application/json');
        return 'Multiple content types test:'""",
    "test_error_handling": "throw new Error('This tool intentionally returns an error for testing')",
    "test_tool_with_logging": "for (const line of ['started', 'processing', 'completed']) console.log(line)",
    "test_tool_with_progress": "for (let n = 0; n < 3; n++) await codemode.tools()",
    "test_reconnection": "await new Promise((done) => setTimeout(done, 100)); return 'reconnected'",
}
RESOURCES: Final = {"test://static-text": URI}
_OWN: Final = frozenset({"content-length", "authorization", "accept-encoding", "connection", "transfer-encoding"})


def relay_to(url: str, token: str) -> Starlette:
    """The relay, as an application that serves `/mcp`."""

    async def pass_on(request: Request) -> Response:
        headers = [(key, value) for key, value in request.headers.items() if key not in _OWN]
        headers.append(("authorization", f"Bearer {token}"))
        client = httpx2.AsyncClient(trust_env=False, timeout=60)
        body = translated(await request.body())
        asked = client.build_request(request.method, url, headers=headers, content=body)
        answer = await client.send(asked, stream=True)

        async def chunks() -> AsyncIterator[bytes]:
            try:
                async for chunk in answer.aiter_bytes():
                    yield chunk
            finally:
                await answer.aclose()
                await client.aclose()

        kept = {key: value for key, value in answer.headers.items() if key not in _OWN}
        return StreamingResponse(chunks(), answer.status_code, kept)

    return Starlette(routes=[Route("/mcp", pass_on, methods=["GET", "POST", "DELETE"])])


def translated(body: bytes) -> bytes:
    """A call of one of the suite's own tools as a call of `execute`; every other message as it is."""
    try:
        message = json.loads(body)
    except ValueError:
        return body
    if isinstance(message, dict) and isinstance(message.get("params"), dict):
        _translate(message["params"])
    return json.dumps(message).encode()


def _translate(params: dict[str, Any]) -> None:
    if (code := PROGRAMS.get(str(params.get("name")))) is not None:
        params |= {"name": "execute", "arguments": {"code": code, "profile": "tests"}}
    if (uri := RESOURCES.get(str(params.get("uri")))) is not None:
        params["uri"] = uri
