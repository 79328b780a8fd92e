"""OpenAPI upstreams over real HTTP on loopback."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from runtime.execution.hostcall import HostCallError
from runtime.portal.openapi import OpenApiProblem, load_openapi
from runtime.portal.openapi_servers import base_of, place_tools
from sandboxes.upstream import OpenApiUpstream
from tests.portal.parts import DirectSend, caller_of, context, free_port, served, until, upstreams

LOOPBACK = ("127.0.0.1/32",)
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Ledger", "version": "1"},
    "paths": {
        "/accounts/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "get": {"operationId": "getAccount", "summary": "Get an account"},
            "patch": {"operationId": "updateAccount", "requestBody": {"content": {"application/json": {}}}},
        },
        "/slow": {"post": {"operationId": "slow"}},
        "/large": {"get": {"operationId": "large"}},
        "/moved": {"get": {"operationId": "moved"}},
        "/away": {"get": {"operationId": "away", "responses": {"302": {}}}},
    },
}


class Ledger:
    """The service behind the document."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.never = asyncio.Event()

    async def account(self, request: Request) -> Response:
        self.seen.append((request.method, str(request.url), dict(request.headers), await request.body()))
        number = request.path_params["id"]
        if number == 404:
            return JSONResponse({"message": "no such account", "id": number}, 404)
        if number == 500:
            return Response("boom", 500)
        return JSONResponse({"id": number, "balance": 10})

    async def slow(self, _: Request) -> Response:
        await self.never.wait()
        return Response()

    async def document(self, _: Request) -> Response:
        return JSONResponse({**DOCUMENT, "servers": [{"url": "/"}]})

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/accounts/{id:int}", self.account, methods=["GET", "PATCH"]),
                Route("/slow", self.slow, methods=["POST"]),
                Route("/large", lambda _: Response(b"x" * 5000, media_type="text/plain")),
                Route("/moved", lambda _: RedirectResponse("/accounts/1", 301)),
                Route("/away", lambda _: RedirectResponse("https://elsewhere.example/file", 302)),
                Route("/openapi.json", self.document),
            ]
        )


@pytest.fixture
async def ledger() -> AsyncIterator[tuple[Ledger, int]]:
    service = Ledger()
    async with served(service.app()) as port:
        yield service, port


def config(document: Path | str, port: int | None, **more: Any) -> OpenApiUpstream:
    base = f"http://127.0.0.1:{port}" if port is not None else None
    return OpenApiUpstream(kind="openapi", document=str(document), base_url=base, networks=LOOPBACK, **more)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "ledger.json"
    file.write_text(json.dumps(DOCUMENT))
    return file


async def test_a_call_there_and_back(ledger: tuple[Ledger, int], document: Path) -> None:
    service, port = ledger
    send = DirectSend()
    settings = config(document, port, headers={"x-version": "7"})
    async with upstreams({"ledger": settings}, send) as running:
        assert await running.settled(20)
        caller = caller_of(running)
        answer = await caller.call("ledger.getAccount", {"id": 7}, context())
        assert json.loads(answer.payload) == {"id": 7, "balance": 10}
        assert (answer.http_status, answer.bytes_in) == (200, 21)
        await caller.call("ledger.updateAccount", {"id": 7, "body": {"name": "é"}}, context())
        assert caller.read_only("ledger.getAccount")
        assert not caller.read_only("ledger.updateAccount")
        assert not caller.read_only("ledger.none")
    method, url, headers, body = service.seen[1]
    assert (method, url) == ("PATCH", f"http://127.0.0.1:{port}/accounts/7")
    assert (headers["content-type"], headers["x-version"], body) == ("application/json", "7", '{"name":"é"}'.encode())
    assert {bounds.token for _, bounds in send.sent} == {f"token for {settings.rule_set('ledger').digest()}"}


@pytest.mark.parametrize(
    ("number", "code", "retryable", "said"),
    [(404, "not_found", False, "no such account"), (500, "upstream_error", True, "boom")],
)
async def test_failures(
    ledger: tuple[Ledger, int], document: Path, number: int, code: str, retryable: bool, said: str
) -> None:
    async with upstreams({"ledger": config(document, ledger[1])}) as running:
        await running.settled(20)
        with pytest.raises(HostCallError) as error:
            await caller_of(running).call("ledger.getAccount", {"id": number}, context())
    told = error.value.to_json()
    assert (told["code"], told["status"], told["retryable"], told["tool"]) == (
        code,
        number,
        retryable,
        "ledger.getAccount",
    )
    assert said in told["message"]


async def test_redirects_and_bounds(ledger: tuple[Ledger, int], document: Path) -> None:
    async with upstreams({"ledger": config(document, ledger[1])}) as running:
        await running.settled(20)
        caller = caller_of(running)
        assert json.loads((await caller.call("ledger.moved", {}, context())).payload)["id"] == 1
        away = json.loads((await caller.call("ledger.away", {}, context())).payload)
        assert away == {"status": 302, "location": "https://elsewhere.example/file"}
        with pytest.raises(HostCallError, match="the answer has 5000 bytes") as error:
            await caller.call("ledger.large", {}, context(most=1000))
        assert error.value.code == "limit"


async def test_an_answer_that_never_comes(ledger: tuple[Ledger, int], document: Path) -> None:
    async with upstreams({"ledger": config(document, ledger[1], call_timeout_ms=100)}) as running:
        await running.settled(20)
        with pytest.raises(HostCallError) as error:
            await caller_of(running).call("ledger.slow", {}, context())
        assert error.value.code == "timeout"
        assert error.value.tool == "ledger.slow"


async def test_a_service_that_is_not_there(document: Path) -> None:
    async with upstreams({"ledger": config(document, free_port())}) as running:
        await running.settled(20)
        with pytest.raises(HostCallError) as error:
            await caller_of(running).call("ledger.getAccount", {"id": 1}, context())
        assert (error.value.code, error.value.retryable) == ("unavailable", True)


async def test_a_broken_document_breaks_nothing_else(document: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("hello: [")
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(DOCUMENT))
    configs = {
        "good": config(document, 1),
        "wrong": config(wrong, 1),
        "missing": config(tmp_path / "no.json", 1),
        "nowhere": config(bare, None),
    }
    async with upstreams(configs) as running:
        assert await running.settled(20)
        assert running.states["good"].phase == "ready"
        assert str(running.states["wrong"]).startswith("broken: wrong.yaml is neither JSON nor YAML")
        assert str(running.states["missing"]) == "broken: there is no no.json"
        assert str(running.states["nowhere"]).startswith("broken: base_url is missing in the configuration")
        with pytest.raises(HostCallError) as error:
            await caller_of(running).call("wrong.anything", {}, context())
        assert (error.value.code, error.value.retryable) == ("unavailable", False)
        assert "upstream wrong is broken" in error.value.message


async def test_a_document_by_url_that_comes_later() -> None:
    port = free_port()
    settings = config(f"http://127.0.0.1:{port}/openapi.json", port)
    send = DirectSend()
    async with upstreams({"ledger": settings}, send) as running:
        await running.settled(20)
        assert running.states["ledger"].phase == "down"
        with pytest.raises(HostCallError) as error:
            await caller_of(running).call("ledger.getAccount", {"id": 1}, context())
        assert (error.value.code, error.value.retryable) == ("unavailable", True)
        async with served(Ledger().app(), port):
            await until(running, lambda: running.states["ledger"].phase == "ready")
            answer = await caller_of(running).call("ledger.getAccount", {"id": 1}, context())
            assert json.loads(answer.payload)["id"] == 1
    assert send.sent[0][1].token == "service ledger"


async def test_a_changed_file_is_read_again(document: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with upstreams({"ledger": config(document, 1)}) as running:
        await running.settled(20)
        service: Any = running.find("ledger")._inner  # type: ignore[union-attr]
        service._check_s = 0.02
        before = running.catalog
        changed = {**DOCUMENT, "paths": {"/new": {"get": {"operationId": "brandNew"}}}}
        # The service may already sleep its first full interval: a state of its own is not worth a wait here.
        for task in running._tasks:
            task.cancel()
        await asyncio.gather(*running._tasks, return_exceptions=True)
        running._tasks[:] = [asyncio.create_task(service.run(running._publish))]
        await running.changed()
        replacement = document.with_suffix(".new")
        replacement.write_text(json.dumps(changed))
        replacement.replace(document)
        await until(running, lambda: "ledger.brandNew" in running.catalog.tools)
        assert "ledger.getAccount" in before.tools
        assert "ledger.getAccount" not in running.catalog.tools


UPLOAD = {"servers": [{"url": "https://uploads.example.com"}], "operationId": "upload"}


@pytest.mark.parametrize(
    ("base_url", "servers", "called_under"),
    [
        ("https://api.example.com", (), None),
        ("https://api.example.com/", ("https://uploads.example.com/",), "https://uploads.example.com/"),
        ("http://127.0.0.1:1", (), "http://127.0.0.1:1"),
    ],
)
def test_the_configuration_decides_where_an_operation_is_called(
    base_url: str, servers: tuple[str, ...], called_under: str | None
) -> None:
    document = {"openapi": "3.1.0", "servers": [{"url": "https://api.example.com"}],
                "paths": {"/a": {"get": {"operationId": "plain"}}, "/b": {"get": UPLOAD}}}  # fmt: skip
    loaded = load_openapi("api", json.dumps(document).encode(), "api")
    settings = OpenApiUpstream(
        kind="openapi", document="api.json", base_url=base_url, servers=servers, networks=LOOPBACK
    )
    placed = place_tools(settings, loaded)
    if called_under is None:
        assert [tool.name for tool in placed.tools] == ["plain"]
        assert (
            placed.skipped[0].reason
            == "it is served by https://uploads.example.com; list that under servers to have it"
        )
        return
    assert [base_of(settings, tool) for tool in placed.tools] == [base_url, called_under]
    assert len(settings.rule_set("api").rules) == 1 + len(servers)


def test_a_missing_base_url_is_told_with_what_the_document_says() -> None:
    document = {"openapi": "3.1.0", "servers": [{"url": "https://api.example.com/v1"}], "paths": {}}
    loaded = load_openapi("api", json.dumps(document).encode(), "api")
    with pytest.raises(OpenApiProblem, match=r'the document says "https://api\.example\.com/v1"'):
        place_tools(OpenApiUpstream(kind="openapi", document="api.json"), loaded)


async def test_the_real_document_of_github_is_served_by_a_stand_in(github_file: Path) -> None:
    asked: list[tuple[str, str]] = []

    async def anything(request: Request) -> Response:
        query = request.scope["query_string"].decode()
        asked.append((request.method, request.scope["raw_path"].decode() + (f"?{query}" if query else "")))
        return JSONResponse([{"number": 1, "title": "one"}])

    app = Starlette(routes=[Route("/{path:path}", anything, methods=["GET", "POST", "PUT"])])
    async with served(app) as port, upstreams({"github": config(github_file, port)}) as running:
        await running.settled(60)
        caller = caller_of(running)
        listed = {"owner": "o", "repo": "r r", "state": "open", "labels": "a,b", "per_page": 5}
        answer = await caller.call("github.issuesListForRepo", listed, context())
        assert json.loads(answer.payload)[0]["title"] == "one"
        await caller.call("github.issues/list-for-repo", {"owner": "o", "repo": "r"}, context())
        await caller.call("github.issuesCreate", {"owner": "o", "repo": "r", "body": {"title": "t"}}, context())
        await caller.call("github.reposGetContent", {"owner": "o", "repo": "r", "path": "a/b.md"}, context())
        upload = {"owner": "o", "repo": "r", "release_id": 1, "name": "n", "body": {"base64": "AAE="}}
        await caller.call("github.reposUploadReleaseAsset", upload, context())
        with pytest.raises(HostCallError, match=r"belongs inside body: \{body: \{title"):
            await caller.call("github.issuesCreate", {"owner": "o", "repo": "r", "title": "t"}, context())
        with pytest.raises(HostCallError, match=r"the nearest are github\.issuesListForRepo"):
            await caller.call("github.issueListForRepo", {}, context())
    assert asked == [
        ("GET", "/repos/o/r%20r/issues?state=open&labels=a%2Cb&per_page=5"),
        ("GET", "/repos/o/r/issues"),
        ("POST", "/repos/o/r/issues"),
        ("GET", "/repos/o/r/contents/a/b.md"),
        ("POST", "/repos/o/r/releases/1/assets?name=n"),
    ]
