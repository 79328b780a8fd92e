"""Client certificates: each rule's own on connections of its own, and none where none was decided."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from egress.client_certificate import ClientCertificate
from egress.dialer import Allowance, Destination
from sandboxes.rule_set import RuleSet
from tests.egress import http2
from tests.egress.conftest import echo
from tests.egress.lab import Lab, Reply, Wire, render, rule, rule_set, start
from tests.egress.origin import Origin


@dataclass
class Mutual:
    lab: Lab
    origin: Origin
    rules: RuleSet
    token: str

    @property
    def authority(self) -> str:
        return f"api.example.test:{self.origin.port}"

    def get(self, path: str, *headers: str) -> Reply:
        return self.lab.get(f"https://{self.authority}{path}", self.token, *headers)

    def shown(self) -> list[str | None]:
        """For each request received, the name in its connection's client certificate."""
        return [_name(self.origin.peers[request.connection]) for request in self.origin.received]


def _name(peer: dict) -> str | None:
    return next((value for part in peer.get("subject", ()) for key, value in part if key == "commonName"), None)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[Mutual]:
    directory = tmp_path_factory.mktemp("state")
    context = authority.server("api.example.test")
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(authority.file)
    origin = Origin(echo, context)
    alice, bob, chained = authority.client("alice"), authority.client("bob"), authority.client("carol", chained=True)
    values = {
        "alice": "".join(alice),
        "bob": bob[1] + bob[0],
        "carol": "".join(chained),
        "without-key": alice[0],
        "without-certificate": alice[1],
        "of-two": alice[0] + bob[1],
        "encrypted": "".join(authority.client("dora", password=b"p")),
        "no-pem": "a bearer token, by mistake",
        "bearer": "bearer-token-value",
    }
    for name, value in values.items():
        (directory / name).write_text(value)
    ports = {"ports": [origin.port], "schemes": ["https"]}
    mtls = [rule(name=n, paths=[f"/{n}"], inject={"secret": n, "as": "mtls"}, **ports) for n in values if n != "bearer"]
    bearer = rule(name="bearer", paths=["/bearer"], inject={"secret": "bearer", "as": "bearer"}, **ports)
    rules = rule_set(*mtls, bearer, rule(name="plain", paths=["/plain"], **ports))
    lab = start(
        directory,
        rules,
        secrets={name: {"file": str(directory / name)} for name in values},
        hosts={"api.example.test": "127.0.0.1"},
        extra_ca_file=str(authority.file),
    )
    yield Mutual(lab, origin, rules, lab.token(rules))
    assert lab.stop() == 0
    assert "PRIVATE KEY" not in lab.events.read_text()
    origin.close()


@pytest.fixture(autouse=True)
def nothing_received(mutual: Mutual) -> None:
    mutual.origin.received.clear()


@pytest.mark.parametrize("name", ["alice", "bob", "carol"])
def test_the_upstream_sees_the_rules_certificate(mutual: Mutual, name: str) -> None:
    assert mutual.get(f"/{name}").status == 200
    assert mutual.shown() == [name]


def test_no_certificate_where_no_rule_names_one(mutual: Mutual) -> None:
    mutual.get("/plain")
    assert mutual.shown() == [None]


def test_other_credentials_are_taken_off(mutual: Mutual) -> None:
    mutual.get("/alice", "Authorization: Bearer mine", "X-Api-Key: mine")
    assert "authorization" not in mutual.origin.received[0].names()
    assert "x-api-key" not in mutual.origin.received[0].names()


def test_no_connection_serves_rules_with_different_certificates(mutual: Mutual) -> None:
    """In one tunnel, in turn: a connection made with one certificate is used again for that rule only."""
    wire = mutual.lab.secure(mutual.lab.tunnel(mutual.authority, mutual.token), "api.example.test")
    order = ["alice", "plain", "bob", "alice", "bearer", "plain", "bob", "alice"]
    for name in order:
        assert asked(wire, mutual, name).status == 200
    assert mutual.shown() == [None if name in {"plain", "bearer"} else name for name in order]
    used = {
        name: {r.connection for r, n in zip(mutual.origin.received, order, strict=True) if n == name} for name in order
    }
    assert [len(used[name]) for name in ("alice", "bob", "plain")] == [1, 1, 1]
    assert used["plain"] == used["bearer"]


def asked(wire: Wire, mutual: Mutual, name: str) -> Reply:
    wire.send(render(f"GET /{name} HTTP/1.1\nHost: {mutual.authority}"))
    return wire.reply()


def test_over_http2_too(mutual: Mutual) -> None:
    assert http2.request(mutual.lab, mutual.authority, mutual.token, path="/bob").status == 200
    assert http2.request(mutual.lab, mutual.authority, mutual.token, path="/plain").status == 200
    assert mutual.shown() == ["bob", None]


@pytest.mark.parametrize("name", ["without-key", "without-certificate", "of-two", "encrypted", "no-pem"])
def test_what_is_no_certificate_with_its_key_is_refused(mutual: Mutual, name: str) -> None:
    reply = mutual.get(f"/{name}")
    assert (reply.status, reply.json()["code"]) == (403, "secret")
    assert "PRIVATE" not in reply.body.decode()
    assert mutual.origin.received == []


def test_a_rotated_certificate_is_shown_on_a_new_connection(mutual: Mutual, authority) -> None:
    wire = mutual.lab.secure(mutual.lab.tunnel(mutual.authority, mutual.token), "api.example.test")
    assert asked(wire, mutual, "bob").status == 200
    path = mutual.lab.state / "bob"
    before = path.read_text()
    path.write_text("".join(authority.client("bob the second")))
    assert asked(wire, mutual, "bob").status == 200
    path.write_text(before)
    assert mutual.shown() == ["bob", "bob the second"]


def test_the_upstream_is_verified_as_without_a_certificate(mutual: Mutual, tmp_path, authority) -> None:
    rules = rule_set(rule(ports=[mutual.origin.port], schemes=["https"], inject={"secret": "c", "as": "mtls"}))
    (tmp_path / "c").write_text("".join(authority.client("erin")))
    lab = start(
        tmp_path / "s", rules, secrets={"c": {"file": str(tmp_path / "c")}}, hosts={"api.example.test": "127.0.0.1"}
    )
    reply = lab.get(f"https://{mutual.authority}/", lab.token(rules))
    assert (reply.status, reply.json()["error"]) == (502, "upstream_unreachable")
    assert lab.stop() == 0
    assert mutual.origin.received == []


def test_destinations_differ_by_certificate() -> None:
    one, two = (ClientCertificate(digest, (), None) for digest in (b"1", b"2"))
    made = [Destination.of("h", 443, Allowance(), certificate) for certificate in (None, one, two)]
    assert len(set(made)) == 3
    assert made[1] == Destination.of("h", 443, Allowance(), ClientCertificate(b"1", (), None))
