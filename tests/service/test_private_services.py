"""`private_services` of a lockgate.yaml in a whole cell: a program reaches the service by its rule and no other way."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from runtime.client import Client, Language
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell, CellOptions
from tests.cell import open_shared_state, running_cell
from tests.egress.origin import Origin, answer
from tests.service.programs import run

NAME, OTHER = "books.internal", "other.internal"
PROGRAMS: dict[Language, str] = {
    "javascript": """
try {{ return await (await fetch({url})).text() }}
catch (error) {{ return [error.code, error.details.reason] }}
""",
    "python": """
try:
    told = (await fetch({url})).text
except Exception as error:
    told = error.code
return told
""",
}


@dataclass(frozen=True)
class Site:
    """A cell, the service it declares, and another one at the same address."""

    cell: Cell
    service: Origin
    neighbour: Origin


def profile(name: str, hosts: list[str], ports: list[int], networks: list[str]) -> dict[str, Any]:
    rule = {
        "name": "books",
        "hosts": hosts,
        "ports": ports,
        "schemes": ["http"],
        "paths": ["/**"],
        "networks": networks,
    }
    said = {"name": name, "version": 1, "languages": ["javascript", "python"], "environments": ["dev"]}
    return {**said, "egress": {"rules": [rule]}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("private")
    service, neighbour = Origin(lambda _: answer(b"the books")), Origin(lambda _: answer(b"another service"))
    ports, loopback = [service.port, neighbour.port], ["127.0.0.1/32"]
    profiles = [
        profile("named", [NAME], ports, loopback),
        profile("elsewhere", ["127.0.0.1", OTHER], ports, loopback),
        profile("wildcard", ["*.internal"], ports, loopback),
        profile("other-network", [NAME], ports, ["10.0.0.0/8"]),
        profile("no-network", [NAME], ports, []),
    ]
    (directory / "profiles").mkdir()
    for each in profiles:
        (directory / "profiles" / f"{each['name']}.yaml").write_text(yaml.safe_dump(each))
    config = directory / "lockgate.yaml"
    declared = {NAME: {"address": "127.0.0.1", "port": service.port, "network": "127.0.0.0/8"}}
    config.write_text(
        yaml.safe_dump({"profiles": ["profiles"], "private_services": declared, "hosts": {OTHER: "127.0.0.1"}})
    )
    state = open_shared_state(directory / "state")
    with running_cell(CellOptions(state=state, config_file=config, any_port=True, workers=1)) as cell:
        yield Site(cell, service, neighbour)
    service.close()
    neighbour.close()


@pytest.fixture
async def client(site: Site) -> AsyncIterator[Client]:
    async with Client(site.cell.grpc_address, site.cell.token) as client:
        yield client


async def outcome(client: Client, profile: str, url: str, language: Language = "javascript") -> Any:
    ended = await run(client, PROGRAMS[language].format(url=json.dumps(url)), language, profile=profile)
    assert ended.status == pb.STATUS_SUCCEEDED, ended
    return json.loads(ended.result_json)


@pytest.mark.parametrize("language", ["javascript", "python"])
async def test_a_program_reaches_it_by_a_rule_that_names_it(client: Client, site: Site, language: Language) -> None:
    assert await outcome(client, "named", f"http://{NAME}:{site.service.port}/", language) == "the books"


@pytest.mark.parametrize(
    ("profile", "host", "own_port", "why"),
    [
        ("named", NAME, False, 'the private service "books.internal" is at port'),
        ("elsewhere", "127.0.0.1", True, "reached by its name only"),
        ("elsewhere", OTHER, True, "reached by its name only"),
        ("wildcard", NAME, True, "the rule's hosts do not name it"),
        ("other-network", NAME, True, "the rule's networks do not name it"),
        ("no-network", NAME, True, "the rule's networks do not name it"),
    ],
    ids=["another-port", "its-address", "another-name", "wildcard", "another-network", "no-network"],
)
async def test_in_every_other_way_it_is_refused_and_hears_nothing(
    client: Client, site: Site, profile: str, host: str, why: str, *, own_port: bool
) -> None:
    before = site.service.connections, site.neighbour.connections
    port = site.service.port if own_port else site.neighbour.port
    code, reason = await outcome(client, profile, f"http://{host}:{port}/")
    assert (code, why in reason) == ("denied", True), reason
    assert (site.service.connections, site.neighbour.connections) == before
