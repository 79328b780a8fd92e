"""Shared parts: one certificate authority, echoing origins, and one proxy for the tests that need nothing special."""

import json
from collections.abc import Iterator

import pytest

from tests.egress.lab import SECRET, World, rule, rule_set, start
from tests.egress.origin import Origin, Received, TestAuthority, answer


def echo(request: Received) -> bytes:
    """What arrived, as JSON."""
    seen = {"line": request.line, "headers": request.headers, "body": request.body.decode("latin-1")}
    return answer(json.dumps(seen).encode(), "200 OK", ("Content-Type", "application/json"))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, authority: TestAuthority) -> Iterator[World]:
    plain = Origin(echo)
    secure = Origin(echo, authority.server("api.example.test", "other.example.test", "127.0.0.1"))
    ports = [plain.port, secure.port]
    names = ["api.example.test", "other.example.test", "127.0.0.1", "::1"]
    allowed = rule_set(rule(hosts=names, ports=ports))
    injecting = rule_set(rule(name="ledger", ports=ports, inject={"secret": "ledger-token", "as": "bearer"}))
    lab = start(
        tmp_path_factory.mktemp("state"),
        allowed,
        injecting,
        env={"LEDGER_TOKEN": SECRET},
        secrets={"ledger-token": {"env": "LEDGER_TOKEN"}},
        hosts={"api.example.test": "127.0.0.1", "other.example.test": "127.0.0.1"},
        extra_ca_file=str(authority.file),
    )
    yield World(lab, plain, secure, allowed, injecting)
    assert lab.stop() == 0
    plain.close()
    secure.close()


@pytest.fixture(autouse=True)
def forget(world: World) -> None:
    world.plain.received.clear()
    world.secure.received.clear()
    world.plain.handler = world.secure.handler = echo
