"""Fixtures that several folders use: one real cell for the whole run, and clients of it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.client import Client
from runtime.service.cell import CellOptions
from tests.cell import (
    LEDGER_TOKEN,
    TestCell,
    open_shared_state,
    running_cell,
    running_module,
    upstreams_settled,
    write_config,
)
from tests.store.postgres_server import PostgresServer, running_postgres


@pytest.fixture(scope="session")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestCell]:
    directory = tmp_path_factory.mktemp("cell")
    os.environ["LEDGER_TOKEN"] = LEDGER_TOKEN
    ledger = ("tests.demo.ledger", "--database", str(directory / "ledger.db"))
    with (
        running_module(*ledger, env={"LEDGER_TOKEN": LEDGER_TOKEN}) as ledger_url,
        running_module("tests.demo.site") as site_url,
    ):
        config = write_config(directory, ledger_url, site_url)
        state = open_shared_state(directory / "state")
        with running_cell(CellOptions(state=state, config_file=config, any_port=True)) as running:
            site = site_url.replace("127.0.0.1", "site.test.internal")
            test_cell = TestCell(cell=running, state=state, site=site, config_file=config)
            asyncio.run(upstreams_settled(test_cell.address, test_cell.token))
            yield test_cell


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture
async def client(cell: TestCell) -> AsyncIterator[Client]:
    async with Client(cell.address, cell.token) as client:
        yield client
