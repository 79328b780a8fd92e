"""The cell under attack, shared by the corpus; tests that kill workers make their own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from runtime.client import Client
from tests.attacks.launch import warm_up
from tests.attacks.target import Target, running_target


@pytest.fixture(scope="session")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running_target(tmp_path_factory.mktemp("attacked")) as target:
        asyncio.run(warm_up(target))
        yield target


@pytest.fixture
async def client(target: Target) -> AsyncIterator[Client]:
    async with Client(target.cell.grpc_address, target.cell.token) as client:
        yield client
