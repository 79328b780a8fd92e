"""Mode report: what no rule allows is recorded and let go, and what must never go does not go."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from egress import addresses
from sandboxes.egress_event import read_event
from sandboxes.rule_set import RuleSet
from tests.egress import http2
from tests.egress.conftest import echo
from tests.egress.in_process import InProcess
from tests.egress.lab import SECRET, Lab, Reply, World, render, rule
from tests.egress.origin import Origin


def reporting(world: World, *rules: dict, **fields: object) -> str:
    """A token for a reporting rule set."""
    made = [rule(**{"name": f"r{number}", "ports": [world.secure.port], **given}) for number, given in enumerate(rules)]
    return world.load(RuleSet.model_validate({"rules": made, "mode": "report", "report_in": ["dev"], **fields}))


PUBLIC = {"hosts": ["api.example.test"], "paths": ["/open"]}


def absolute(client: Lab, authority: str, token: str) -> Reply:
    return client.get(f"https://{authority}/x?q=secret-value", token)


def tunnelled(client: Lab, authority: str, token: str) -> Reply:
    return http2.request(client, authority, token, path="/x?q=secret-value")


@pytest.mark.parametrize("ask", [absolute, tunnelled])
def test_what_no_rule_allows_is_let_go_and_recorded(
    tmp_path: Path, authority, monkeypatch: pytest.MonkeyPatch, ask: Callable[..., Reply]
) -> None:
    """The origin's address is taken for a public one, which no test may reach for."""
    monkeypatch.setattr(addresses, "special_kind", lambda _: None)
    origin = Origin(echo, authority.server("api.example.test"))
    rules = RuleSet.model_validate({"rules": [], "mode": "report", "report_in": ["dev"]})
    proxy = InProcess(tmp_path, rules, extra_ca_file=str(authority.file))
    client = proxy.lab()
    try:
        reply = ask(client, f"api.example.test:{origin.port}", client.token(rules))
        assert reply.status == 200
        assert reply.note()["reason"] == "mode report; would be refused: no rule names the host api.example.test"
        assert [request.line for request in origin.received] == ["GET /x?q=secret-value HTTP/1.1"]
    finally:
        proxy.close()
        origin.close()
    (record,) = [event for event in events(tmp_path) if event["method"] == "GET"]
    assert (record["allowed"], record["code"], record["would_deny"], record["rule"]) == (True, "allowed", "host", None)
    assert record["hint"]["paths"] == ["/x"]
    assert "secret-value" not in str(record)


def events(state: Path) -> list[dict[str, Any]]:
    lines = (state / "egress.jsonl").read_text().splitlines()
    return [event for line in lines if (event := read_event(line)) is not None]


def test_what_no_rule_allows_is_let_go_as_far_as_addresses_allow(world: World) -> None:
    token = reporting(world, PUBLIC)
    reply = world.lab.get(f"{world.https}/report-1?q=secret-value", token)
    # Loopback is never reached without a rule that names it, so here the address guard has the last word.
    assert (reply.status, reply.json()["code"]) == (403, "address")
    assert world.secure.received == []
    record = world.lab.record("/report-1?q=*")
    assert (record["allowed"], record["code"], record["would_deny"]) == (False, "address", "path")


def test_literal_special_addresses_are_refused_before_anything_is_connected(world: World) -> None:
    token = reporting(world)
    for host in ("127.0.0.1", "169.254.169.254", "10.0.0.1"):
        reply = world.lab.get(f"http://{host}/", token)
        assert (reply.status, reply.json()["code"]) == (403, "address")


def test_a_rule_of_the_set_still_decides_first(world: World) -> None:
    token = reporting(world, PUBLIC)
    assert world.lab.get(f"{world.https}/open", token).status == 200
    record = world.lab.record("/open")
    assert (record["allowed"], record["rule"], record["would_deny"]) == (True, "r0", None)


def test_a_request_that_would_carry_a_secret_is_refused(world: World) -> None:
    token = reporting(
        world, {"paths": ["/a"], "schemes": ["https"], "inject": {"secret": "ledger-token", "as": "bearer"}}
    )
    reply = world.lab.get(f"{world.https}/b", token)
    assert (reply.status, reply.json()["code"]) == (403, "path")
    assert world.lab.get(f"{world.https}/a", token).status == 200
    assert [request.header("authorization") for request in world.secure.received] == [f"Bearer {SECRET}"]


def test_another_environment_enforces(world: World) -> None:
    token = reporting(world, PUBLIC, report_in=["stage", "prod"])
    reply = world.lab.get(f"{world.https}/other", token)
    assert (reply.status, reply.json()["code"]) == (403, "path")


def test_a_placeholder_is_refused_in_mode_report_too(world: World) -> None:
    word = "LOCKGATE_REPORT_KEY"
    meant = {
        "hosts": ["other.example.test"],
        "schemes": ["https"],
        "inject": {"secret": "ledger-token", "as": "placeholder", "text": word},
    }
    token = reporting(world, meant)
    reply = world.lab.get(f"{world.https}/x", token, f"X-Key: {word}")
    assert (reply.status, reply.json()["code"]) == (403, "placeholder")


def test_a_tunnel_opens_and_each_request_in_it_is_recorded(world: World) -> None:
    token = reporting(world, PUBLIC)
    authority = f"api.example.test:{world.secure.port}"
    inner = world.lab.secure(world.lab.tunnel(authority, token), "api.example.test")
    inner.send(render(f"GET /report-2 HTTP/1.1\nHost: {authority}"))
    assert inner.reply().json()["code"] == "address"
    assert http2.request(world.lab, authority, token, path="/report-3").json()["code"] == "address"
    assert [world.lab.record(f"/report-{n}")["would_deny"] for n in (2, 3)] == ["path", "path"]


def test_authorities_that_disagree_are_refused_in_mode_report_too(world: World) -> None:
    token = reporting(world, PUBLIC)
    reply = world.lab.request(f"GET {world.https}/ HTTP/1.1\nHost: other.example.test", token)
    assert (reply.status, reply.json()["code"]) == (403, "authority")
