"""OAuth 2.0 and GitHub App tokens through the live proxy: fetched by it, kept, refreshed, guarded, never told."""

import base64
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.egress.conftest import echo
from tests.egress.lab import LOOPBACK, Lab, Reply, rule, rule_set, start
from tests.egress.origin import Origin, Received, answer

CLIENT_SECRET = "client+secret/with=chars"
REFRESH = "refresh-token-configured"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PEM = KEY.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
).decode()


Said = Callable[[Received], dict[str, Any] | bytes | Iterable[bytes]]


@dataclass
class Issuer:
    """Token endpoints, one for each secret, told apart by the first segment of the path."""

    said: dict[str, Said] = field(default_factory=dict)
    asked: dict[str, list[Received]] = field(default_factory=lambda: defaultdict(list))
    origin: Origin = field(init=False)

    def __post_init__(self) -> None:
        self.origin = Origin(self._handle)

    def _handle(self, request: Received) -> bytes | Iterable[bytes]:
        name = request.line.split(" ")[1].split("/")[1]
        self.asked[name].append(request)
        said = self.said[name](request)
        return answer(json.dumps(said).encode()) if isinstance(said, dict) else said

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.origin.port}/{name}"

    def forms(self, name: str) -> list[dict[str, list[str]]]:
        return [parse_qs(request.body.decode()) for request in self.asked[name]]


def numbered(expires_in: float = 3600) -> Said:
    count = iter(range(1, 1000))
    return lambda _: {"access_token": f"access-token-{next(count)}", "token_type": "Bearer", "expires_in": expires_in}


@dataclass
class Running:
    """A proxy whose rules put each secret on requests for `/NAME`."""

    lab: Lab
    upstream: Origin
    issuer: Issuer
    token: str
    unused: Iterator[str]

    def get(self, name: str) -> Reply:
        return self.lab.get(f"http://api.example.test:{self.upstream.port}/{name}", self.token)

    def sent(self) -> list[str | None]:
        """The bearer tokens that the upstream got."""
        said = [request.header("authorization") for request in self.upstream.received]
        return [value.removeprefix("Bearer ") if value else None for value in said]

    def fresh(self, said: Said) -> str:
        """A secret of client credentials that no test has used."""
        name = next(self.unused)
        self.issuer.said[name] = said
        return name


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[Running]:
    issuer, own, upstream = Issuer(), Origin(echo), Origin(echo)
    untrusted = Origin(echo, authority.server("id.example.test"))
    spare = [f"spare-{n}" for n in range(40)]
    ports = {"port": issuer.origin.port, "own": own.port, "untrusted": untrusted.port}
    sources = {
        **{name: oauth2(issuer, name) for name in spare},
        **{name: oauth2(issuer, name, **more) for name, more in SPECIAL.items()},
        **{name: oauth2(issuer, name, **aimed(more, ports)) for name, (more, _) in GUARDED.items()},
        **{f"app-{n}": app(issuer, f"app-{n}") for n in range(6)},
        "app-narrow": app(issuer, "app-narrow", repositories=["lockgate"], permissions={"contents": "read"}),
        "app-keyless": app(issuer, "app-keyless", private_key="client-secret"),
    }
    rules = rule_set(
        *(rule(name=n, paths=[f"/{n}"], ports=[upstream.port], inject={"secret": n, "as": "bearer"}) for n in sources)
    )
    local = {"CLIENT_SECRET": CLIENT_SECRET, "REFRESH": REFRESH, "APP_KEY": PEM}
    lab = start(
        tmp_path_factory.mktemp("state"),
        rules,
        env=local,
        secrets={
            **{name.lower().replace("_", "-"): {"env": name} for name in local},
            "gone": {"env": "NO_SUCH_VARIABLE"},
            **sources,
        },
        own_ports=[own.port],
        hosts={"api.example.test": "127.0.0.1", "id.example.test": "127.0.0.1"},
    )
    yield Running(lab, upstream, issuer, lab.token(rules, expires_in=600), iter(spare))
    events = lab.events.read_text()
    assert not any(secret in events for secret in (CLIENT_SECRET, REFRESH, "access-token-", "BEGIN RSA"))
    assert lab.stop() == 0
    assert own.connections == 0
    assert untrusted.received == []
    for origin in (issuer.origin, own, upstream, untrusted):
        origin.close()


@pytest.fixture(autouse=True)
def nothing_sent(running: Running) -> None:
    running.upstream.received.clear()


def oauth2(issuer: Issuer, name: str, **more: Any) -> dict[str, Any]:
    base = {"token_url": issuer.url(name), "client_id": "lockgate", "client_secret": "client-secret"}
    return {"oauth2": {**base, "networks": LOOPBACK, **more}}


def app(issuer: Issuer, name: str, **more: Any) -> dict[str, Any]:
    base = {"app_id": "12345", "installation_id": 42, "private_key": "app-key", "url": issuer.url(name)}
    return {"github_app": {**base, "networks": LOOPBACK, **more}}


def aimed(more: dict[str, Any], ports: dict[str, int]) -> dict[str, Any]:
    return {key: value.format(**ports) if key == "token_url" else value for key, value in more.items()}


SPECIAL: dict[str, dict[str, Any]] = {
    "scoped": {"scopes": ["contacts.read", "contacts.list"], "audience": "crm"},
    "posted": {"client_auth": "post"},
    "refreshed": {"grant": "refresh_token", "refresh_token": "refresh"},
    "reading": {"scopes": ["read"]},
    "writing": {"scopes": ["write"]},
    "orphan": {"client_secret": "gone"},
}
GUARDED: dict[str, tuple[dict[str, Any], str]] = {
    "private-address": ({"token_url": "http://127.0.0.1:{port}/x", "networks": []}, "a loopback address"),
    "private-name": ({"token_url": "https://id.example.test:{port}/x", "networks": []}, "a loopback address"),
    "own-port": ({"token_url": "http://127.0.0.1:{own}/x"}, "belongs to Lockgate itself"),
    "closed-port": ({"token_url": "http://127.0.0.1:1/x"}, "could not be reached"),
    "untrusted": ({"token_url": "https://id.example.test:{untrusted}/x"}, "its certificate is not trusted"),
}


def test_client_credentials_are_exchanged_and_the_token_kept(running: Running) -> None:
    running.issuer.said["scoped"] = numbered()
    replies = [running.get("scoped") for _ in range(3)]
    assert [reply.status for reply in replies] == [200] * 3
    assert running.sent() == ["access-token-1"] * 3
    assert all(b"access-token" not in reply.body and b"[redacted:scoped]" in reply.body for reply in replies)
    (asked,) = running.issuer.asked["scoped"]
    assert running.issuer.forms("scoped") == [
        {"grant_type": ["client_credentials"], "scope": ["contacts.read contacts.list"], "audience": ["crm"]}
    ]
    assert base64.b64decode(asked.header("authorization").removeprefix("Basic ")) == (
        b"lockgate:client%2Bsecret%2Fwith%3Dchars"
    )


def test_credentials_in_the_form_where_a_server_wants_them_there(running: Running) -> None:
    running.issuer.said["posted"] = numbered()
    running.get("posted")
    assert running.issuer.forms("posted")[0]["client_secret"] == [CLIENT_SECRET]
    assert running.issuer.asked["posted"][0].header("authorization") is None


def test_many_requests_at_once_fetch_one_token(running: Running) -> None:
    gate = threading.Event()
    inner = numbered()

    def slowly(request: Received) -> Any:
        gate.wait(10)
        return inner(request)

    name = running.fresh(slowly)
    replies: list[int] = []
    threads = [threading.Thread(target=lambda: replies.append(running.get(name).status)) for _ in range(8)]
    for thread in threads:
        thread.start()
    waiting_for(lambda: len(running.issuer.asked[name]) == 1)
    gate.set()
    for thread in threads:
        thread.join(20)
    assert replies == [200] * 8
    assert len(running.issuer.asked[name]) == 1


def waiting_for(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 15
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_token_is_fetched_anew_ahead_of_its_end(running: Running) -> None:
    name = running.fresh(numbered(expires_in=1))
    waiting_for(lambda: running.get(name).status == 200 and len(set(running.sent())) >= 2)
    assert {"access-token-1", "access-token-2"} <= set(running.sent())


def test_a_refresh_token_is_used_and_the_one_that_replaces_it(running: Running) -> None:
    count = iter(range(1, 1000))
    running.issuer.said["refreshed"] = lambda _: {
        "access_token": f"access-token-{(n := next(count))}",
        "refresh_token": f"refresh-token-{n}",
        "expires_in": 1,
    }
    waiting_for(lambda: running.get("refreshed").status == 200 and len(running.issuer.asked["refreshed"]) >= 3)
    forms = running.issuer.forms("refreshed")
    assert [form["refresh_token"][0] for form in forms[:3]] == [REFRESH, "refresh-token-1", "refresh-token-2"]
    assert forms[0]["grant_type"] == ["refresh_token"]


def test_secrets_with_different_scopes_never_share_a_token(running: Running) -> None:
    for name in ("reading", "writing"):
        running.issuer.said[name] = lambda request: {
            "access_token": "for-" + parse_qs(request.body.decode())["scope"][0],
            "expires_in": 60,
        }
    for name in ("reading", "writing", "reading"):
        running.get(name)
    assert running.sent() == ["for-read", "for-write", "for-read"]


def quoting(status: str) -> bytes:
    said = {"error": "invalid_client", "error_description": f"{CLIENT_SECRET} is wrong"}
    return answer(json.dumps(said).encode(), status)


def endless() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    while True:
        yield b" " * 65536


FAULTS: dict[str, tuple[Callable[[], Any], str]] = {
    "CRLF in the token": (lambda: {"access_token": "a\r\nX-Evil: yes"}, "no access token that can be sent"),
    "a space in the token": (lambda: {"access_token": "a b"}, "no access token that can be sent"),
    "no token": (lambda: {"expires_in": 60}, "no access token that can be sent"),
    "an empty token": (lambda: {"access_token": ""}, "no access token that can be sent"),
    "a number for a token": (lambda: {"access_token": 7}, "no access token that can be sent"),
    "another type": (lambda: {"access_token": "t", "token_type": "mac"}, "another type than bearer"),
    "a huge token": (lambda: {"access_token": "x" * 65_530}, "more than"),
    "a body without end": (endless, "more than"),
    "no JSON": (lambda: answer(b"<html>"), "no access token that can be sent"),
    "deep JSON": (lambda: answer(b"[" * 60_000), "no access token that can be sent"),
    "a refusal that quotes": (lambda: quoting("401 Unauthorized"), "answered 401 (invalid_client)"),
    "an error of no standard": (
        lambda: answer(json.dumps({"error": CLIENT_SECRET}).encode(), "400 Bad Request"), "answered 400"
    ),
    "a redirect": (lambda: answer(b"", "302 Found", ("Location", "http://169.254.169.254/")), "answered 302"),
    "no HTTP": (lambda: b"SSH-2.0-x\r\n\r\n", "not HTTP"),
    "a header of a megabyte": (lambda: b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n", "not HTTP"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_token_endpoint_that_fails_denies_and_quotes_nothing(running: Running, fault: str) -> None:
    said, reason = FAULTS[fault]
    reply = running.get(running.fresh(lambda _: said()))
    assert (reply.status, reply.json()["code"]) == (403, "secret")
    assert reason in reply.json()["reason"]
    assert CLIENT_SECRET not in reply.body.decode()
    assert "Evil" not in reply.body.decode()
    assert running.upstream.received == []


def test_a_token_endpoint_that_fails_is_not_asked_for_every_request(running: Running) -> None:
    name = running.fresh(lambda _: quoting("500 Internal Server Error"))
    started = time.monotonic()
    assert {running.get(name).status for _ in range(20)} == {403}
    assert len(running.issuer.asked[name]) <= 2 + int(time.monotonic() - started)


@pytest.mark.parametrize("name", GUARDED)
def test_the_address_guard_holds_for_token_endpoints(running: Running, name: str) -> None:
    reply = running.get(name)
    assert (reply.status, reply.json()["code"]) == (403, "secret")
    assert GUARDED[name][1] in reply.json()["reason"]
    assert running.issuer.asked["x"] == []
    assert running.upstream.received == []


def test_a_secret_it_is_made_from_that_is_missing_is_named(running: Running) -> None:
    assert 'secret "gone" has no value' in running.get("orphan").json()["reason"]


def created(_: Received, minutes: float = 60, token: str = "ghs_installation-token") -> bytes:
    expires = (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return answer(json.dumps({"token": token, "expires_at": expires}).encode(), "201 Created")


def test_a_github_app_gets_an_installation_token(running: Running) -> None:
    running.issuer.said["app-narrow"] = created
    replies = [running.get("app-narrow") for _ in range(2)]
    assert running.sent() == ["ghs_installation-token"] * 2
    assert all(b"ghs_" not in reply.body for reply in replies)
    (asked,) = running.issuer.asked["app-narrow"]
    assert asked.line == "POST /app-narrow/app/installations/42/access_tokens HTTP/1.1"
    assert json.loads(asked.body) == {"repositories": ["lockgate"], "permissions": {"contents": "read"}}
    signed = asked.header("authorization").removeprefix("Bearer ")
    claims = jwt.decode(signed, KEY.public_key(), algorithms=["RS256"])
    assert claims["iss"] == "12345"
    assert claims["exp"] - claims["iat"] <= 600


@pytest.mark.parametrize(
    ("name", "said", "reason"),
    [
        ("app-0", lambda _: answer(b"{}", "201 Created"), "no installation token"),
        ("app-1", lambda _: created(_, token="a\r\nb"), "no installation token"),
        ("app-2", lambda _: answer(b'{"token": "t", "expires_at": "soon"}', "201 Created"), "no installation token"),
        (
            "app-3",
            lambda _: answer(b'{"token": "t", "expires_at": "2020-01-01"}', "201 Created"),
            "no installation token",
        ),
        ("app-4", lambda _: answer(PEM.encode(), "401 Unauthorized"), "GitHub answered 401"),
    ],
)
def test_what_github_may_not_answer(running: Running, name: str, said: Said, reason: str) -> None:
    running.issuer.said[name] = said
    reply = running.get(name)
    assert (reply.status, reply.json()["code"]) == (403, "secret")
    assert reason in reply.json()["reason"]
    assert "BEGIN RSA" not in reply.body.decode()


def test_a_key_that_is_none_is_named_as_such(running: Running) -> None:
    assert "not an RSA key in PEM" in running.get("app-keyless").json()["reason"]
    assert running.issuer.asked["app-keyless"] == []
