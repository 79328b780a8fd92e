"""What stops every execution, or those of one profile, before it starts; and the health call that tells."""

from pathlib import Path

import grpc
import pytest
import yaml

from runtime.client import Client
from runtime.command import doctor
from runtime.enclosure.walls import Network, Surroundings
from runtime.isolate.versions import QUICKJS, WASMTIME, judge
from runtime.rpc import runtime_pb2 as pb
from runtime.rpc import runtime_pb2_grpc
from runtime.service.errors import ApiError
from runtime.service.readiness import Readiness
from runtime.service.wall_metrics import WallMetrics
from sandboxes.profile import Profile
from sandboxes.walls import UP, WALLS
from tests.cell import TestCell, upstreams_settled
from tests.service.programs import run

GOOD = judge({WASMTIME: "50.0.1", QUICKJS: "0.17.0"}, [])
OLD = judge({WASMTIME: "49.0.0", QUICKJS: "0.17.0"}, [])
ALL_UP = dict.fromkeys(WALLS, UP)
NO_FILES = {**ALL_UP, "files": "refused: landlock"}


def profile(*required: str) -> Profile:
    return Profile.model_validate(
        {
            "name": "walled",
            "version": 1,
            "languages": ["python"],
            "environments": ["dev"],
            "require_lockdown": required,
        }
    )


def refusal(readiness: Readiness, wanted: Profile) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(ApiError) as caught:
        readiness.check(wanted)
    return caught.value.code, caught.value.reason


def test_all_is_well():
    Readiness(GOOD, lambda: ALL_UP).check(profile(*WALLS))


def test_a_vulnerable_engine_stops_every_execution():
    readiness = Readiness(OLD, lambda: ALL_UP)
    assert refusal(readiness, profile()) == (grpc.StatusCode.FAILED_PRECONDITION, "VULNERABLE_ENGINE")
    assert "wasmtime 49.0.0 is below 50.0.0" in readiness.refusals
    health = readiness.message()
    assert not health.accepting
    assert [bool(engine.refusal) for engine in health.engines] == [True, False]


def test_a_missing_wall_stops_those_who_demand_it():
    readiness = Readiness(GOOD, lambda: NO_FILES)
    readiness.check(profile())
    readiness.check(profile("network"))
    assert refusal(readiness, profile("files")) == (grpc.StatusCode.FAILED_PRECONDITION, "LOCKDOWN_MISSING")


def test_before_a_worker_has_reported_a_demand_has_to_wait():
    readiness = Readiness(GOOD, dict)
    readiness.check(profile())
    assert refusal(readiness, profile("files")) == (grpc.StatusCode.UNAVAILABLE, "NO_WORKER")
    assert readiness.message() == pb.GetHealthResponse(accepting=False, engines=readiness.message().engines)


def test_the_health_call_names_what_is_missing():
    walls = {wall.name: wall.reason for wall in Readiness(GOOD, lambda: NO_FILES).message().walls}
    assert walls == {**dict.fromkeys(WALLS, ""), "files": "refused: landlock"}


OPEN = Surroundings(network=Network.PROXY, walls={"network": "refused: a test", "privileges": UP})


def test_the_health_call_tells_of_a_server_that_can_go_around_the_proxy():
    (server,) = Readiness(GOOD, dict, lambda: {"weather": OPEN}).message().servers
    assert (server.upstream, server.network) == ("weather", "proxy")
    assert [(wall.name, wall.reason) for wall in server.walls] == [("network", "refused: a test"), ("privileges", "")]


def test_a_wall_that_a_server_lacks_is_a_metric_of_nought():
    (gauge,) = WallMetrics(lambda: {"weather": OPEN}).collect()
    told = {(sample.labels["upstream"], sample.labels["wall"]): sample.value for sample in gauge.samples}
    assert told == {("weather", "network"): 0, ("weather", "privileges"): 1}


async def test_a_running_service_tells_how_its_servers_are_enclosed(cell: TestCell, tmp_path: Path, monkeypatch):
    await upstreams_settled(cell.address, cell.token)
    async with Client(cell.address, cell.token) as client:
        (server,) = (await client.health()).servers
    assert (server.upstream, server.network) == ("notes", "proxy")
    assert {wall.name for wall in server.walls} == {"network", "privileges", "neighbours", "capabilities"}
    config = tmp_path / "lockgate.yaml"
    config.write_text(yaml.safe_dump({"listen": {"grpc": cell.address}}))
    monkeypatch.setenv("LOCKGATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCKGATE_TOKEN", cell.token)
    *upstreams, finding = await doctor._servers(str(config))
    assert "running upstream notes: ready, 5 tools" in [one.text for one in upstreams]
    assert finding.text.startswith("running server notes: network: proxy; ")
    assert finding.good is not any(wall.reason for wall in server.walls)


async def test_doctor_says_nothing_of_servers_where_no_service_runs(tmp_path: Path, monkeypatch):
    config = tmp_path / "lockgate.yaml"
    config.write_text(yaml.safe_dump({"listen": {"grpc": "127.0.0.1:1"}}))
    monkeypatch.setenv("LOCKGATE_HOME", str(tmp_path / "home"))
    assert await doctor._servers(str(config)) == []


async def test_a_running_service_tells_its_engines_and_walls(cell: TestCell, client):
    async with grpc.aio.insecure_channel(cell.address) as channel:
        metadata = [("authorization", f"Bearer {cell.token}")]
        health = await runtime_pb2_grpc.RuntimeStub(channel).GetHealth(pb.GetHealthRequest(), metadata=metadata)
    assert health.accepting
    assert [engine.name for engine in health.engines] == [WASMTIME, QUICKJS]
    assert tuple(wall.name for wall in health.walls) == WALLS
    missing = [wall for wall in health.walls if wall.reason]
    assert list((await run(client, "1")).missing_walls) == missing
