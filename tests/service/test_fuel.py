"""Fuel: a budget that is the same wherever and however busy the machine is."""

import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import CellOptions
from tests.cell import open_shared_state, running_cell
from tests.service.programs import run

PROFILE = """
name: fuelled
version: 1
languages: [javascript, python]
environments: [dev]
limits: {fuel: 50000000}
"""
COUNTS = {"javascript": "let x = 0; for (let i = 0; i < 10000; i++) x += i; x", "python": "sum(range(1000))"}
SPINS = {"javascript": "for (;;);", "python": "while True: pass"}
BOTH = pytest.mark.parametrize("language", ["javascript", "python"])


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    directory = tmp_path_factory.mktemp("fuel")
    (directory / "profiles").mkdir()
    (directory / "profiles" / "fuelled.yaml").write_text(PROFILE)
    config = directory / "lockgate.yaml"
    config.write_text("profiles: [profiles]\n")
    options = CellOptions(state=open_shared_state(directory / "state"), config_file=config, any_port=True, workers=1)
    with running_cell(options) as running:
        yield running


@pytest.fixture
async def client(cell):
    async with Client(cell.grpc_address, cell.token) as client:
        yield client


@BOTH
async def test_a_program_that_uses_its_fuel_ends(client, language):
    execution = await run(client, SPINS[language], language, profile="fuelled")
    assert execution.status == pb.STATUS_LIMIT_FUEL
    assert (execution.error.limit, execution.error.limit_value) == ("fuel", 50_000_000)
    assert execution.usage.fuel == 50_000_000


@BOTH
async def test_a_program_cannot_catch_the_end_of_its_fuel(client, language):
    code = {
        "javascript": "for (;;) { try { for (;;); } catch {} }",
        "python": "while True:\n  try:\n    while True: pass\n  except BaseException: pass",
    }[language]
    execution = await run(client, code, language, profile="fuelled")
    assert execution.status == pb.STATUS_LIMIT_FUEL


async def test_the_same_program_uses_the_same_fuel(client):
    used = {(await run(client, COUNTS["javascript"], profile="fuelled")).usage.fuel for _ in range(5)}
    assert len(used) == 1
    assert 10_000 < used.pop() < 50_000_000


async def test_a_request_may_narrow_the_fuel(client):
    execution = await run(client, SPINS["javascript"], profile="fuelled", limits={"fuel": 1_000_000})
    assert execution.error.limit_value == 1_000_000


async def test_where_no_fuel_is_counted_none_is_used(client):
    execution = await run(client, "1 + 1", profile="standard")
    assert execution.usage.fuel == 0
