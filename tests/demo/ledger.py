"""A small bank over HTTP: `LEDGER_TOKEN=... python -m tests.demo.ledger --database FILE`.

Everything but /openapi.json wants the bearer token of the environment variable LEDGER_TOKEN.
"""

import argparse
import hmac
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.demo.ledger_document import Direction, NewAccount, NewTransfer, Status, document
from tests.demo.ledger_store import Book, Refused
from tests.demo.serving import serve

MAX_BODY = 64 << 10
_Limit = Annotated[int, Field(ge=1, le=100)]


class _Query(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _AccountsQuery(_Query):
    owner: str | None = None
    status: Status | None = None
    limit: _Limit = 20
    offset: int = Field(0, ge=0, le=10**9)


class _TransactionsQuery(_Query):
    direction: Direction | None = None
    limit: _Limit = 20


class Ledger:
    """The HTTP face of a book."""

    def __init__(self, book: Book, token: str) -> None:
        self._book = book
        self._authorization = f"Bearer {token}".encode()

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/openapi.json", self._document),
            self._route("/accounts", self._list_accounts, "GET"),
            self._route("/accounts", self._create_account, "POST"),
            self._route("/accounts/{account_id}", self._get_account, "GET"),
            self._route("/accounts/{account_id}/close", self._close_account, "POST"),
            self._route("/accounts/{account_id}/transactions", self._list_transactions, "GET"),
            self._route("/transfers", self._create_transfer, "POST"),
            self._route("/transfers/{transfer_id}", self._get_transfer, "GET"),
            self._route("/totals", self._get_totals, "GET"),
        ]
        handlers = {Refused: _refused, ValidationError: _invalid, HTTPException: _http_error}
        return Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]

    def _route(self, path: str, handler: Callable[[Request], Awaitable[Response]], method: str) -> Route:
        async def guarded(request: Request) -> Response:
            given = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(given, self._authorization):
                raise Refused(401, "unauthenticated", "this API wants a bearer token")
            return await handler(request)

        return Route(path, guarded, methods=[method], name=handler.__name__)

    async def _document(self, request: Request) -> Response:
        return JSONResponse(document(str(request.base_url).rstrip("/")))

    async def _list_accounts(self, request: Request) -> Response:
        query = _AccountsQuery.model_validate(dict(request.query_params))
        page = self._book.accounts(**query.model_dump())
        following = query.offset + query.limit
        if following >= page["total"]:
            return JSONResponse(page)
        link = request.url.include_query_params(offset=following)
        return JSONResponse(page, headers={"link": f'<{link}>; rel="next"'})

    async def _create_account(self, request: Request) -> Response:
        wanted = NewAccount.model_validate_json(await _body(request), strict=True)
        return JSONResponse(self._book.open_account(wanted.owner, wanted.currency), status_code=201)

    async def _get_account(self, request: Request) -> Response:
        return JSONResponse(self._book.account(request.path_params["account_id"]))

    async def _close_account(self, request: Request) -> Response:
        return JSONResponse(self._book.close_account(request.path_params["account_id"]))

    async def _list_transactions(self, request: Request) -> Response:
        query = _TransactionsQuery.model_validate(dict(request.query_params))
        account_id = request.path_params["account_id"]
        return JSONResponse(self._book.transactions(account_id, **query.model_dump()))

    async def _create_transfer(self, request: Request) -> Response:
        wanted = NewTransfer.model_validate_json(await _body(request), strict=True)
        transfer, new = self._book.move(wanted.model_dump(), request.headers.get("idempotency-key"))
        return JSONResponse(transfer, status_code=201 if new else 200)

    async def _get_transfer(self, request: Request) -> Response:
        return JSONResponse(self._book.transfer(request.path_params["transfer_id"]))

    async def _get_totals(self, _: Request) -> Response:
        return JSONResponse(self._book.totals())


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refused(413, "too_large", f"a body has at most {MAX_BODY} bytes")
    return bytes(body)


async def _refused(_: Request, error: Refused) -> Response:
    headers = {"www-authenticate": "Bearer"} if error.status == 401 else None
    return _error(error.status, error.code, str(error), headers)


async def _invalid(_: Request, error: ValidationError) -> Response:
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return _error(422, "invalid", f"{where}: {first['msg']}")


async def _http_error(_: Request, error: HTTPException) -> Response:
    return _error(error.status_code, "http", error.detail, dict(error.headers or {}))


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> Response:
    content: dict[str, Any] = {"error": {"code": code, "message": message}}
    return JSONResponse(content, status_code=status, headers=headers)


def main() -> None:
    """Serve a ledger until told to stop."""
    parser = argparse.ArgumentParser(description="A small bank over HTTP, for demonstrations and tests.")
    parser.add_argument("--database", type=Path, required=True, help="SQLite file, made if it is not there")
    arguments = parser.parse_args()
    token = os.environ.get("LEDGER_TOKEN", "")
    if not token:
        sys.exit("the environment variable LEDGER_TOKEN is not set")
    serve("ledger", Ledger(Book(arguments.database), token).application())


if __name__ == "__main__":
    main()
