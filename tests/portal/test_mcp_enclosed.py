"""MCP servers that Lockgate starts: what they can reach, by a live egress proxy and a server that tries."""

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from runtime.enclosure.enclosure import Way, probe
from runtime.enclosure.walls import UP
from runtime.portal.upstreams import Upstreams
from sandboxes.rule_set import RuleSet
from sandboxes.upstream import McpStdioUpstream
from tests.egress.lab import LOOPBACK, Lab, rule, rule_set, start
from tests.egress.origin import Origin, answer
from tests.portal.parts import QUICK, DirectSend, TokenTransport, context, until

WALLS = ("network", "privileges", "neighbours", "capabilities")
SERVER = Path(__file__).parent / "servers" / "attempting.py"


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    made = Origin(lambda _: answer(b"reached"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def rules(origin: Origin) -> RuleSet:
    return rule_set(rule(ports=[origin.port], methods=["GET"], networks=LOOPBACK))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, rules: RuleSet) -> Iterator[Lab]:
    made = start(tmp_path_factory.mktemp("state"), rules, hosts={"api.example.test": "127.0.0.1"})
    yield made
    made.stop()


@asynccontextmanager
async def serving(lab: Lab, rules: RuleSet, **config: Any) -> AsyncIterator[Upstreams]:
    """The attempting server as the upstream `x`."""

    async def find() -> tuple[str, int]:
        return "127.0.0.1", lab.port

    def way(_: Any) -> Way:
        return Way(find=find, token=lambda: lab.token(rules), ca_file=lab.ready["ca_file"])

    upstream = McpStdioUpstream(kind="mcp", command=(sys.executable, str(SERVER)), **config)
    async with Upstreams(
        {"x": upstream},
        send=DirectSend(),
        transport=TokenTransport,
        service_token=lambda *_: "",
        way=way,
        backoff=QUICK,
    ) as running:
        await until(running, lambda: running.states["x"].phase in {"ready", "down"})
        yield running


async def attempt(running: Upstreams, name: str, *arguments: str) -> Any:
    tool = running.catalog.find("x.attempting")
    reply = await running.find("x").call(tool, {"name": name, "arguments": list(arguments)}, context())
    return reply.value["result"]


@pytest.fixture
def isolated() -> None:
    if probe()["network"] != UP:
        pytest.skip(f"no network namespace is to be had: {probe()['network']}")


async def test_by_default_the_proxy_is_all_there_is(lab: Lab, origin: Origin, rules: RuleSet, isolated: None) -> None:
    async with serving(lab, rules, egress=rules) as running:
        assert running.states["x"].reason == "network: proxy; every wall stands"
        assert running.surroundings()["x"].walls == dict.fromkeys(WALLS, UP)
        assert await attempt(running, "interfaces") == ["lo"]
        assert await attempt(running, "fetch", f"http://api.example.test:{origin.port}/") == [200, "reached"]
        assert (await attempt(running, "fetch", "http://elsewhere.test/"))[0] == 403
        before = origin.connections
        assert set(await attempt(running, "connect", "127.0.0.1", str(origin.port))) == {"error", "errno"}
        assert origin.connections == before
        status = await attempt(running, "status")
        assert (status["NoNewPrivs"], int(status["CapBnd"], 16)) == ("1", 0)


@pytest.fixture
def outside() -> Iterator[str]:
    """A process with the machine's network, of the same user: what the gateway is to a server."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield str(process.pid)
        process.kill()


async def test_a_server_cannot_borrow_the_network_of_the_gateway(
    lab: Lab, rules: RuleSet, isolated: None, outside: str
) -> None:
    async with serving(lab, rules, egress=rules) as running:
        for name in ("back", "trace", "memory"):
            assert set(await attempt(running, name, outside)) == {"error", "errno"}, name


async def test_none_is_no_network_at_all(lab: Lab, origin: Origin, rules: RuleSet, isolated: None) -> None:
    async with serving(lab, rules, network="none") as running:
        assert running.states["x"].reason == "network: none; every wall stands"
        assert not [name for name in await attempt(running, "environment") if name.lower().endswith("_proxy")]
        assert set(await attempt(running, "connect", "127.0.0.1", str(origin.port))) == {"error", "errno"}
        assert set(await attempt(running, "connect", "127.0.0.1", "3128")) == {"error", "errno"}


async def test_host_is_the_machines_own_and_says_so(lab: Lab, origin: Origin, rules: RuleSet) -> None:
    async with serving(lab, rules, network="host") as running:
        assert running.states["x"].reason.startswith("network: host; without walls: network (the machine's own)")
        assert await attempt(running, "connect", "127.0.0.1", str(origin.port)) == "connected"
        assert (await attempt(running, "status"))["NoNewPrivs"] == "1"


async def test_without_namespaces_the_state_says_so_and_none_is_refused(
    lab: Lab, origin: Origin, rules: RuleSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.enclosure.enclosure.probe", lambda: {"network": "refused: a test"})
    async with serving(lab, rules, egress=rules) as running:
        assert "without walls: network (refused: a test)" in running.states["x"].reason
        assert running.surroundings()["x"].missing["network"] == "refused: a test"
        assert await attempt(running, "fetch", f"http://api.example.test:{origin.port}/") == [200, "reached"]
    async with serving(lab, rules, network="none") as running:
        assert (running.states["x"].phase, "refused: a test" in running.states["x"].reason) == ("down", True)
        assert running.surroundings() == {}


@pytest.mark.parametrize("network", ["none", "host"])
def test_rules_that_nobody_would_go_by_are_refused(rules: RuleSet, network: str) -> None:
    with pytest.raises(ValidationError, match="write network: proxy"):
        McpStdioUpstream(kind="mcp", command=("x",), network=network, egress=rules)
