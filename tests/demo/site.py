"""Pages for `fetch`: `python -m tests.demo.site`.

/leak shows a caller every header that arrived: what an upstream that echoes credentials looks like.
"""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.demo.serving import serve

_PAGE = "<!doctype html><title>Rates</title><h1>Rates</h1><p>EUR to USD: <b>1.10</b></p>\n"


async def page(_: Request) -> Response:
    """A page."""
    return HTMLResponse(_PAGE)


async def rates(_: Request) -> Response:
    """A JSON document."""
    return JSONResponse({"base": "EUR", "rates": {"USD": 1.1, "GBP": 0.85}})


async def moved(_: Request) -> Response:
    """A redirect to a path of the same site."""
    return RedirectResponse("/rates.json", status_code=302)


async def elsewhere(request: Request) -> Response:
    """A redirect to wherever `to` says: another origin, a private address."""
    return RedirectResponse(request.query_params.get("to", "http://169.254.169.254/"), status_code=302)


async def echo(request: Request) -> Response:
    """The request as it arrived, credentials left out."""
    headers = [[name, value] for name, value in request.headers.items() if name not in {"authorization", "cookie"}]
    body = (await request.body()).decode(errors="replace")
    return JSONResponse(
        {"method": request.method, "query": str(request.query_params), "headers": headers, "body": body}
    )


async def leak(request: Request) -> Response:
    """Every header that arrived, credentials and all."""
    return JSONResponse({"headers": list(request.headers.items()), "query": str(request.query_params)})


async def status(request: Request) -> Response:
    """An answer with the status of the path; with `after` it asks to wait for so many seconds."""
    code, after = request.path_params["code"], request.query_params.get("after")
    headers = {"retry-after": after} if after else {}
    return JSONResponse({"status": code}, status_code=code if 200 <= code <= 599 else 400, headers=headers)


async def large(request: Request) -> Response:
    """As many bytes as the path says, at most 64 MiB."""
    return Response(b"x" * min(request.path_params["size"], 64 << 20), media_type="application/octet-stream")


async def silent(request: Request) -> Response:
    """No answer until the caller goes away."""
    while not await request.is_disconnected():
        await asyncio.sleep(0.05)
    return Response(status_code=499)


ROUTES = [
    Route("/", page),
    Route("/rates.json", rates),
    Route("/moved", moved),
    Route("/elsewhere", elsewhere),
    Route("/echo", echo, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    Route("/leak", leak),
    Route("/status/{code:int}", status),
    Route("/large/{size:int}", large),
    Route("/silent", silent),
]


def application() -> Starlette:
    """The ASGI application."""
    return Starlette(routes=ROUTES)


if __name__ == "__main__":
    serve("site", application())
