"""What stops every execution, or those of one profile, before it starts; and the health call that tells."""

import grpc
import pytest

from runtime.isolate.versions import QUICKJS, WASMTIME, judge
from runtime.rpc import runtime_pb2 as pb
from runtime.rpc import runtime_pb2_grpc
from runtime.service.errors import ApiError
from runtime.service.readiness import Readiness
from sandboxes.profile import Profile
from sandboxes.walls import UP, WALLS
from tests.cell import TestCell
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


async def test_a_running_service_tells_its_engines_and_walls(cell: TestCell, client):
    async with grpc.aio.insecure_channel(cell.address) as channel:
        metadata = [("authorization", f"Bearer {cell.token}")]
        health = await runtime_pb2_grpc.RuntimeStub(channel).GetHealth(pb.GetHealthRequest(), metadata=metadata)
    assert health.accepting
    assert [engine.name for engine in health.engines] == [WASMTIME, QUICKJS]
    assert tuple(wall.name for wall in health.walls) == WALLS
    missing = [wall for wall in health.walls if wall.reason]
    assert list((await run(client, "1")).missing_walls) == missing
