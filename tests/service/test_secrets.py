"""Secrets on their whole way: from a program's tool call or fetch to the upstream, which alone gets to see them."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator

import pytest
import yaml

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import CellOptions
from tests.cell import open_shared_state, running_cell, upstreams_settled
from tests.egress.origin import Origin, Received, answer
from tests.egress.stores import VaultServer
from tests.service.programs import run

SITE, API = "site.test.internal", "api.test.internal"
WORD = "LOCKGATE_SITE_KEY"
STORED, LOCAL = "value-kept-in-the-vault", "value-kept-in-a-file"
DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/pay": {
            "post": {
                "operationId": "pay",
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"amount": {"type": "number"}},
                                "required": ["amount"],
                            }
                        }
                    },
                },
                "responses": {
                    "200": {"description": "ok", "content": {"application/json": {"schema": {"type": "object"}}}}
                },
            }
        }
    },
}


def echo(request: Received) -> bytes:
    seen = {"headers": dict(request.headers), "body": request.body.decode()}
    return answer(json.dumps(seen).encode(), "200 OK", ("Content-Type", "application/json"))


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    made = Origin(echo)
    yield made
    made.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, origin: Origin) -> Iterator[tuple[str, str]]:
    """A cell with an upstream that wants its key in the body, and a profile with a placeholder."""
    directory = tmp_path_factory.mktemp("secrets")
    vault = VaultServer()
    vault.entries = {"api": {"key": STORED}}
    networks = ["127.0.0.1/32"]
    placeholder = {"secret": "site", "as": "placeholder", "text": WORD, "places": ["header", "body"]}
    here = {"ports": [origin.port], "schemes": ["http"], "methods": ["GET", "POST"], "networks": networks}
    profile = {
        "name": "shop",
        "version": 1,
        "languages": ["javascript", "python"],
        "environments": ["dev"],
        "tools": {"allow": ["api.*"]},
        "egress": {
            "rules": [
                {"name": "site", "hosts": [SITE], "paths": ["/in/**"], "inject": placeholder, **here},
                {"name": "elsewhere", "hosts": [SITE], "paths": ["/out/**"], **here},
            ]
        },
    }
    config = {
        "profiles": ["profiles"],
        "upstreams": {
            "api": {
                "kind": "openapi",
                "document": "api.json",
                "base_url": f"http://{API}:{origin.port}",
                "auth": {"secret": "api", "as": "json", "pointer": "/auth/key"},
                "networks": networks,
            }
        },
        "secret_stores": {"vault": {"kind": "vault", "url": vault.url, "token": "login"}},
        "secrets": {
            "login": {"file": "login"},
            "site": {"file": "site"},
            "api": {"store": "vault", "path": "api", "field": "key"},
        },
        "hosts": {SITE: "127.0.0.1", API: "127.0.0.1"},
    }
    (directory / "profiles").mkdir()
    (directory / "profiles" / "shop.yaml").write_text(yaml.safe_dump(profile))
    (directory / "api.json").write_text(json.dumps(DOCUMENT))
    (directory / "login").write_text("root-token-1\n")
    (directory / "site").write_text(LOCAL + "\n")
    path = directory / "lockgate.yaml"
    path.write_text(yaml.safe_dump(config))
    options = CellOptions(state=open_shared_state(directory / "state"), config_file=path, any_port=True, workers=1)
    with running_cell(options) as cell:
        asyncio.run(upstreams_settled(cell.grpc_address, cell.token))
        yield cell.grpc_address, cell.token
    vault.close()
    written = [file for file in (directory / "state").rglob("*") if file.is_file() and "images" not in file.parts]
    assert written
    assert all(value.encode() not in file.read_bytes() for file in written for value in (STORED, LOCAL))


@pytest.fixture
async def client(address: tuple[str, str], origin: Origin) -> AsyncIterator[Client]:
    origin.received.clear()
    async with Client(*address) as made:
        yield made


CALLS = {
    "javascript": "return JSON.stringify(await codemode.api.pay({body: {amount: 12.50}}))",
    "python": 'import json\nreturn json.dumps(await codemode.api.pay(body={"amount": 12.50}))',
}
FETCHES = {
    "javascript": """
const reply = await fetch("http://%s:%d/in/x", {method: "POST", body: JSON.stringify({key: "%s"}),
  headers: {"authorization": "Bearer %s", "content-type": "application/json", "x-api-key": "mine"}})
return await reply.text()
""",
    "python": """
import json
reply = await fetch("http://%s:%d/in/x", method="POST", body=json.dumps({"key": "%s"}),
  headers={"authorization": "Bearer %s", "content-type": "application/json", "x-api-key": "mine"})
return await reply.text()
""",
}


async def told(client: Client, language: str, code: str) -> str:
    ended = await run(client, code, language, profile="shop")
    assert ended.status == pb.STATUS_SUCCEEDED, ended
    return json.loads(ended.result_json)


@pytest.mark.parametrize("language", CALLS)
async def test_a_tool_call_carries_its_key_in_the_body(client: Client, origin: Origin, language: str) -> None:
    said = await told(client, language, CALLS[language])
    (request,) = origin.received
    assert json.loads(request.body) == {"auth": {"key": STORED}, "amount": 12.5}
    assert STORED not in said
    assert "[redacted:api]" in said


@pytest.mark.parametrize("language", FETCHES)
async def test_a_fetch_with_a_placeholder_carries_the_secret(client: Client, origin: Origin, language: str) -> None:
    said = await told(client, language, FETCHES[language] % (SITE, origin.port, WORD, WORD))
    (request,) = origin.received
    assert request.header("authorization") == f"Bearer {LOCAL}"
    assert json.loads(request.body) == {"key": LOCAL}
    assert request.header("x-api-key") is None
    assert LOCAL not in said


async def test_a_fetch_with_a_placeholder_elsewhere_is_refused_and_says_why(client: Client, origin: Origin) -> None:
    code = f"""
try {{ await fetch("http://{SITE}:{origin.port}/out/x", {{headers: {{"x-key": "{WORD}"}}}}); return "sent" }}
catch (error) {{ return error.code + ": " + error.message }}
"""
    said = await told(client, "javascript", code)
    assert said.startswith("denied: ")
    assert "placeholder for a secret" in said
    assert origin.received == []
