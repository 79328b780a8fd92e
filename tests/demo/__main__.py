"""`make demo`: a real agent job on this machine, end to end, every part real. Ends by itself."""

import asyncio
import contextlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from runtime.client import Client, Context, Language, execute_request
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell, CellOptions
from sandboxes.egress_event import read_event
from tests.cell import open_shared_state

HOME = Path(".lockgate") / "demo"

JAVASCRIPT = """\
// Which accounts are low, and what do the notes say about reviews? Three calls at once.
const [page, notes, rates] = await Promise.all([
  codemode.ledger.listAccounts({status: "open"}),
  codemode.notes.search_notes({words: "review"}),
  fetch("%(site)s/rates.json").then((response) => response.json()),
]);
console.log(`${page.total} open accounts, ${notes.result.length} note about reviews`);
try {
  await fetch("%(site)s/leak");
} catch (error) {
  console.warn(error.message);
}
const low = page.items.filter((account) => account.balance < inputs.threshold);
return low.map(({id, owner, balance}) => ({id, owner, usd: Math.round(balance * rates.rates.USD) / 100}));
"""

PYTHON = """\
# Top up the account that is lowest, and leave a note about it.
import asyncio, requests
page, reviews = await asyncio.gather(
    codemode.ledger.listAccounts(status="open"),
    codemode.notes.read_note(title="onboarding"),
)
euros = sorted((a for a in page["items"] if a["currency"] == "EUR"), key=lambda a: a["balance"])
order = {"source": euros[-1]["id"], "target": euros[0]["id"], "amount": inputs["cents"]}
transfer = await codemode.ledger.createTransfer(body=order)
print("moved", transfer["amount"] / 100, "EUR from", order["source"], "to", order["target"])
try:
    await codemode.ledger.getAccount(account_id="acc_99")
except ToolError as error:
    print("caught:", error.code, error.status, error.message)
usd = requests.get("%(site)s/rates.json").json()["rates"]["USD"]
text = f"{transfer['id']}: {transfer['amount'] * usd / 100:.2f} USD. {reviews['text']}"
await codemode.notes.write_note(title="top-up", text=text)
{"transfer": transfer["id"], "note": text}
"""


def say(text: str = "") -> None:
    print(text, flush=True)  # noqa: T201 - a demo shows


def heading(text: str) -> None:
    say(f"\n== {text}")


@contextlib.contextmanager
def service(*command: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """A demo service in a process of its own, until the block ends. Gives its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}
    )
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(10)


def configuration(directory: Path, ledger: str, site: str) -> Path:
    """lockgate.yaml and one profile, as an operator would write them."""
    port = urlsplit(ledger).port
    config = {
        "profiles": ["profiles"],
        "upstreams": {
            "ledger": {
                "kind": "openapi",
                "document": f"http://ledger.demo.internal:{port}/openapi.json",
                "base_url": f"http://ledger.demo.internal:{port}",
                "auth": {"secret": "ledger-token", "as": "bearer"},
                "networks": ["127.0.0.1/32"],
            },
            "notes": {"kind": "mcp", "command": [sys.executable, "-m", "tests.demo.notes"], "cwd": str(Path.cwd())},
        },
        "secrets": {"ledger-token": {"env": "LEDGER_TOKEN"}},
        "hosts": {"ledger.demo.internal": "127.0.0.1", "site.demo.internal": "127.0.0.1"},
    }
    profile = {
        "name": "demo",
        "version": 1,
        "description": "Both demo upstreams, and one path of the demo site.",
        "languages": ["javascript", "python"],
        "environments": ["dev"],
        "tools": {"allow": ["ledger.*", "notes.*"], "deny": ["notes.delete*"]},
        "egress": {
            "rules": [
                {
                    "name": "rates",
                    "hosts": ["site.demo.internal"],
                    "ports": [urlsplit(site).port],
                    "schemes": ["http"],
                    "methods": ["GET"],
                    "paths": ["/rates.json"],
                    "networks": ["127.0.0.1/32"],
                }
            ]
        },
    }
    (directory / "profiles").mkdir()
    (directory / "profiles" / "demo.yaml").write_text(yaml.safe_dump(profile, sort_keys=False))
    path = directory / "lockgate.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path


async def upstreams_ready(client: Client) -> None:
    async with asyncio.timeout(30):
        while True:
            reply = await client.search("", limit=1)
            if not reply.upstreams:
                return
            await asyncio.sleep(0.05)


async def search(client: Client) -> None:
    for query in ("list accounts", "transfer money", "write a note"):
        reply = await client.search(query, limit=2)
        say(f'search "{query}"')
        for tool in reply.tools:
            say(f"  {tool.signature}\n    {tool.purpose}{'' if tool.read_only else '  [writes]'}")


async def run(client: Client, language: Language, code: str, inputs: Any) -> pb.Execution:
    context = Context(actor="demo-agent", owner="you", environment="dev", reason="make demo", expires_in_s=300)
    request = execute_request(code, profile="demo", context=context, language=language, inputs=inputs)
    say("\n".join(f"  | {line}" for line in code.splitlines()))
    async for event in client.stream(request):
        match event.WhichOneof("event"):
            case "log":
                say(f"  log {event.log.number}: {event.log.text}")
            case "call_ended":
                call = event.call_ended
                credential = f" with {call.credential}" if call.credential else ""
                say(f"  call {call.number}: {call.kind} {call.target} -> {call.outcome}{credential}")
            case "finished":
                return finished(event.finished)
    raise RuntimeError("the stream ended before the execution")


def finished(execution: pb.Execution) -> pb.Execution:
    if execution.status != pb.STATUS_SUCCEEDED:
        say(f"  failed: {execution.error.name}: {execution.error.message}")
        return execution
    say(f"  result: {execution.result_json}")
    used, took = execution.usage, execution.timings
    say(
        f"  {used.host_calls} host calls, {used.cpu_us / 1e3:.1f} ms processor time, "
        f"isolate ready after {took.startup_us / 1e3:.2f} ms"
    )
    return execution


def recorded(events: Path) -> list[str]:
    return events.read_text().splitlines() if events.exists() else []


async def show_egress(events: Path, since: int, expected: int) -> None:
    """What met the egress proxy, from its own record, which is written a moment behind."""
    async with asyncio.timeout(10):
        while len(lines := recorded(events)) < since + expected:
            await asyncio.sleep(0.02)
    for line in lines[since:]:
        event = read_event(line)
        assert event is not None
        verdict = "allowed" if event["allowed"] else "REFUSED"
        credential = event.get("credential") or "no credential"
        say(f"  {verdict}  {event['method']} {event['host']}{event['path']}  {event['reason']}  ({credential})")


@contextlib.asynccontextmanager
async def cell(config: Path) -> AsyncIterator[Cell]:
    HOME.parent.mkdir(mode=0o700, exist_ok=True)
    async with Cell(
        CellOptions(state=open_shared_state(HOME.absolute()), config_file=config, any_port=True)
    ) as running:
        yield running


async def demo(directory: Path) -> int:
    begun = time.monotonic()
    token = secrets.token_urlsafe(16)
    heading("Two upstreams and a web site, on loopback")
    with (
        service("tests.demo.ledger", "--database", str(directory / "ledger.db"), env={"LEDGER_TOKEN": token}) as ledger,
        service("tests.demo.site") as site,
    ):
        say(f"  ledger  {ledger}  an HTTP API with an OpenAPI document, a bearer token and a database")
        say("  notes   an MCP server of the official SDK, over stdio")
        say(f"  site    {site}")
        os.environ["LEDGER_TOKEN"] = token
        config = configuration(directory, ledger, site)
        heading("Lockgate: egress proxy, gateway, zygote, workers")
        async with cell(config) as running:
            say(f"  gRPC {running.grpc_address}, MCP http://{running.mcp_address}/mcp")
            say(f"  certificate authority of the egress proxy: {Path(running.ca_file).relative_to(Path.cwd())}")
            async with Client(running.grpc_address, running.token) as client:
                status = await job(client, f"http://site.demo.internal:{urlsplit(site).port}")
    say(f"\ndone in {time.monotonic() - begun:.1f} s")
    return status


async def job(client: Client, site: str) -> int:
    events = HOME / "egress.jsonl"
    await upstreams_ready(client)
    seen = len(recorded(events))
    heading("The catalog, by the gRPC API")
    await search(client)
    heading("A JavaScript program")
    first = await run(client, "javascript", JAVASCRIPT % {"site": site}, {"threshold": 50_000})
    heading("A Python program")
    second = await run(client, "python", PYTHON % {"site": site}, {"cents": 2_500})
    heading("What met the egress proxy")
    met = [call for execution in (first, second) for call in execution.host_calls if call.egress]
    await show_egress(events, seen, len(met))
    return 0 if {first.status, second.status} == {pb.STATUS_SUCCEEDED} else 1


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        status = asyncio.run(demo(Path(scratch)))
    sys.exit(status)


if __name__ == "__main__":
    main()
