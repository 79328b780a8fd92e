"""Shared parts: one certificate authority, echoing origins, and one proxy for the tests that need nothing special."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from egress_lab import Lab, rule, rule_set, start
from egress_origin import Origin, Received, TestAuthority, answer

from sandboxes.egress import RuleSet

SECRET = "s3cr3t/Value+with=chars"


def echo(request: Received) -> bytes:
    """What arrived, as JSON."""
    seen = {"line": request.line, "headers": request.headers, "body": request.body.decode("latin-1")}
    return answer(json.dumps(seen).encode(), "200 OK", ("Content-Type", "application/json"))


@dataclass
class World:
    """A proxy, the origins behind it, and rule sets by what they allow."""

    lab: Lab
    plain: Origin
    secure: Origin
    open: RuleSet
    with_secret: RuleSet

    def token(self, rules: RuleSet | None = None) -> str:
        return self.lab.token(rules or self.open)

    @property
    def http(self) -> str:
        return f"http://api.example.test:{self.plain.port}"

    @property
    def https(self) -> str:
        return f"https://api.example.test:{self.secure.port}"


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
