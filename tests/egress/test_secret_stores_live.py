"""Secrets in stores through the live proxy: read before it is ready, rotated without a restart, denied when gone."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.egress.conftest import echo
from tests.egress.lab import Lab, Reply, rule, rule_set, start
from tests.egress.origin import Origin
from tests.egress.stores import AwsServer, OnePasswordServer, StoreServer, VaultServer, reply

SERVERS: dict[str, tuple[type[StoreServer], dict[str, Any]]] = {
    "vault": (VaultServer, {"kind": "vault", "auth": "approle", "role_id": "role-1", "secret_id": "login"}),
    "aws": (
        AwsServer,
        {
            "kind": "aws",
            "region": "eu-central-1",
            "access_key_id": "NOTAREALKEYIDENT",
            "secret_access_key": "login",
        },
    ),
    "onepassword": (OnePasswordServer, {"kind": "onepassword", "token": "login", "vault": "Production"}),
}
LOGIN = {"vault": "secret-id-1", "aws": "aws-secret-key-1", "onepassword": "connect-token-1"}


@dataclass
class Running:
    lab: Lab
    server: StoreServer
    upstream: Origin
    token: str

    def get(self, path: str = "/kept") -> Reply:
        return self.lab.get(f"http://api.example.test:{self.upstream.port}{path}", self.token)

    def sent(self) -> str | None:
        return (self.upstream.received[-1].header("authorization") or "").removeprefix("Bearer ")


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def begin(kind: str, *, prepare: Callable[[StoreServer], None] = lambda _: None, **more: Any) -> Running:
        server = SERVERS[kind][0]()
        server.entries = {"Ledger": {"token": "first-value"}}
        prepare(server)
        upstream = Origin(echo)
        ports = {"ports": [upstream.port]}
        rules = rule_set(
            rule(name="kept", paths=["/kept"], inject={"secret": "kept", "as": "bearer"}, **ports),
            rule(name="plain", paths=["/plain"], **ports),
        )
        store = {**SERVERS[kind][1], "url": server.url, "ttl_s": 0.1, "grace_s": 0, "timeout_s": 1, **more}
        lab = start(
            tmp_path,
            rules,
            env={"LOGIN": LOGIN[kind]},
            secrets={"login": {"env": "LOGIN"}, "kept": {"store": "s", "path": "Ledger", "field": "token"}},
            secret_stores={"s": store},
            hosts={"api.example.test": "127.0.0.1"},
        )
        made.append(Running(lab, server, upstream, lab.token(rules)))
        return made[-1]

    yield begin
    for running in made:
        running.server.close()
        assert running.lab.stop() == 0
        running.upstream.close()


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("kind", SERVERS)
def test_a_stored_secret_is_added_rotated_and_refused_when_gone(run, kind: str) -> None:
    running = run(kind)
    assert running.lab.ready["warnings"] == []
    answered = running.get()
    assert (answered.status, running.sent()) == (200, "first-value")
    assert b"first-value" not in answered.body
    running.server.entries = {"Ledger": {"token": "second-value"}}
    until(lambda: running.get().status == 200 and running.sent() == "second-value")
    running.server.trouble = lambda _: reply({"errors": ["second-value"]}, "500 Internal Server Error")
    until(lambda: running.get().status == 403)
    refused = running.get()
    assert refused.json()["code"] == "secret"
    assert "second-value" not in refused.body.decode()
    running.server.trouble = lambda _: None
    until(lambda: running.get().status == 200)


def test_a_store_that_fails_at_the_start_is_a_warning_and_no_more(run) -> None:
    def broken(server: StoreServer) -> None:
        server.trouble = lambda _: reply({}, "500 Internal Server Error")

    running = run("vault", prepare=broken)
    (warning,) = running.lab.ready["warnings"]
    assert warning.startswith('secret "kept" has no value: Vault refused')
    assert running.get("/plain").status == 200
    running.server.trouble = lambda _: None
    until(lambda: running.get().status == 200)


def test_while_a_store_hangs_other_requests_are_served(run) -> None:
    running = run("vault")
    running.get()
    running.server.trouble = running.server.hang
    slow: list[int] = []
    thread = threading.Thread(target=lambda: until(lambda: slow.append(running.get().status) or slow[-1] == 403))
    thread.start()
    assert running.server.hanging.wait(10)
    assert [running.get("/plain").status for _ in range(20)] == [200] * 20
    thread.join(20)
    assert slow[-1] == 403


def test_the_last_value_serves_for_its_grace_while_the_store_fails(run) -> None:
    running = run("vault", grace_s=600)
    running.get()
    running.server.trouble = lambda _: reply({}, "500 Internal Server Error")
    asked = len(running.server.origin.received)
    until(lambda: running.get().status == 200 and len(running.server.origin.received) > asked)
    assert running.get().status == 200
    assert running.sent() == "first-value"


def test_a_store_is_asked_by_one_request_of_many(run) -> None:
    running = run("vault", ttl_s=600)
    threads = [threading.Thread(target=running.get) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    reads = [request for request in running.server.origin.received if "/data/" in request.line]
    assert len(reads) == 1
