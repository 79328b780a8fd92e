"""Every form of credential through the live proxy: what reaches the upstream, and what of it never comes back."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from typing import Any
from urllib.parse import quote

import pytest

from egress.injection import inject
from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.authority import Authority
from sandboxes.injection import SigV4Injection
from sandboxes.rule_set import RuleSet
from tests.egress import http2
from tests.egress.conftest import echo
from tests.egress.lab import Lab, Reply, render, rule, rule_set, start
from tests.egress.origin import Origin, Received

VALUE = "s3cr3t+Value=with~chars"
PASSWORD = "pa55word-of-the-robot"
AWS = json.dumps(
    {"AccessKeyId": "NOTAREALKEYIDENT", "SecretAccessKey": "aws-secret-key-1", "SessionToken": "aws-token-1"}
)
WORD = "LOCKGATE_LEDGER_KEY"
SECRETS = {
    "token": {"env": "TOKEN"},
    "pair": {"env": "PAIR"},
    "aws": {"env": "AWS"},
    "broken": {"env": "BROKEN"},
    "slashed": {"env": "SLASHED"},
}
VALUES = {
    "TOKEN": VALUE,
    "PAIR": f"robot:{PASSWORD}",
    "AWS": AWS,
    "BROKEN": "one\r\nX-Evil: yes",
    "SLASHED": "a/../b",
}


@dataclass
class World:
    lab: Lab
    origin: Origin

    def load(self, **inject: Any) -> str:
        """A token for one rule with this injection."""
        rules = rule_set(rule(name="r", ports=[self.origin.port], schemes=["https"], inject=inject))
        return self.token(rules)

    def token(self, rules: RuleSet) -> str:
        assert self.lab.command(rule_sets={rules.digest(): rules.model_dump(mode="json", by_alias=True)})["done"]
        return self.lab.token(rules)

    @property
    def authority(self) -> str:
        return f"api.example.test:{self.origin.port}"

    def send(self, token: str, *headers: str, method: str = "POST", path: str = "/v1/a", body: bytes = b"") -> Reply:
        length = [f"Content-Length: {len(body)}"] if body or method == "POST" else []
        lines = [f"{method} https://{self.authority}{path} HTTP/1.1", f"Host: {self.authority}", *headers, *length]
        return self.lab.request("\n".join(lines), token, body)

    def received(self) -> Received:
        """The one request that came whole; earlier ones broken off in their body may still arrive."""
        whole = [one for one in self.origin.received if len(one.body) >= int(one.header("content-length") or 0)]
        assert len(whole) == 1
        return whole[0]


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[World]:
    origin = Origin(echo, authority.server("api.example.test", "other.example.test"))
    lab = start(
        tmp_path_factory.mktemp("state"),
        env=VALUES,
        secrets=SECRETS,
        hosts={"api.example.test": "127.0.0.1", "other.example.test": "127.0.0.1"},
        extra_ca_file=str(authority.file),
    )
    yield World(lab, origin)
    assert lab.stop() == 0
    assert all(value not in lab.events.read_text() for value in (VALUE, PASSWORD, "aws-secret-key-1"))
    origin.close()


@pytest.fixture(autouse=True)
def nothing_received(forms: World) -> None:
    forms.origin.received.clear()


def line(request: Received) -> str:
    return request.line.split(" ")[1]


@pytest.mark.parametrize(
    ("inject", "header", "value"),
    [
        pytest.param({"secret": "token", "as": "bearer"}, "authorization", f"Bearer {VALUE}", id="bearer"),
        pytest.param(
            {"secret": "token", "as": "header", "name": "X-Key", "prefix": "Token "},
            "x-key",
            f"Token {VALUE}",
            id="header",
        ),
        pytest.param(
            {"secret": "token", "as": "basic", "username": "u"},
            "authorization",
            "Basic " + base64.b64encode(f"u:{VALUE}".encode()).decode(),
            id="basic",
        ),
        pytest.param(
            {"secret": "pair", "as": "basic"},
            "authorization",
            "Basic " + base64.b64encode(f"robot:{PASSWORD}".encode()).decode(),
            id="user and password",
        ),
        pytest.param({"secret": "token", "as": "cookie", "name": "session"}, "cookie", f"session={VALUE}", id="cookie"),
    ],
)
def test_a_credential_in_a_header(forms: World, inject: dict, header: str, value: str) -> None:
    token = forms.load(**inject)
    reply = forms.send(token, f"{header}: what the program wrote", body=b"{}")
    assert reply.status == 200
    assert [text for name, text in forms.received().headers if name.lower() == header] == [value]
    assert VALUE.encode() not in reply.body
    assert PASSWORD.encode() not in reply.body
    assert value.partition(" ")[2].encode() not in reply.body or header == "cookie"
    assert b"[redacted:" in reply.body


def test_a_credential_in_the_query(forms: World) -> None:
    token = forms.load(secret="token", **{"as": "query"}, name="key")
    reply = forms.send(token, method="GET", path="/v1/a?q=1&k%65y=mine&KEY=mine&page=2")
    assert line(forms.received()) == "/v1/a?q=1&page=2&key=s3cr3t%2BValue%3Dwith~chars"
    assert b"s3cr3t" not in reply.body


def test_a_credential_in_the_path(forms: World) -> None:
    token = forms.load(secret="token", **{"as": "path"}, position=1, prefix="bot")
    reply = forms.send(token, method="GET", path="/send?x=1")
    assert line(forms.received()) == "/bots3cr3t%2BValue%3Dwith~chars/send?x=1"
    assert b"s3cr3t" not in reply.body
    assert forms.lab.record("/send?x=*")["credential"] == "token -> path segment 1: bot***"


@pytest.mark.parametrize(
    ("position", "path", "sent"),
    [
        (1, "/", "/SECRET"),
        (2, "/a/b", "/a/SECRET/b"),
        (3, "/a/b", "/a/b/SECRET"),
        (4, "/a/b", None),
        (2, "/a/", "/a/SECRET/"),
    ],
)
def test_where_a_path_segment_goes(forms: World, position: int, path: str, sent: str | None) -> None:
    token = forms.load(secret="token", **{"as": "path"}, position=position)
    reply = forms.send(token, method="GET", path=path)
    if sent is None:
        assert (reply.status, reply.json()["code"]) == (403, "secret")
        assert forms.origin.received == []
    else:
        assert line(forms.received()).replace("s3cr3t%2BValue%3Dwith~chars", "SECRET") == sent


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ('{"a": 1.10, "auth": {"token": "mine", "n": 1e400}}', '{"a": 1.10, "auth": {"token": SECRET, "n": 1e400}}'),
        ('{"auth":{"n":[1,2]}}', '{"auth":{"token":SECRET,"n":[1,2]}}'),
        ("{ }", '{"auth":{"token":SECRET} }'),
        ('{"a":{"auth":1},"b":[]}', '{"auth":{"token":SECRET},"a":{"auth":1},"b":[]}'),
    ],
)
def test_a_credential_in_a_json_body(forms: World, body: str, sent: str) -> None:
    token = forms.load(secret="token", **{"as": "json"}, pointer="/auth/token")
    reply = forms.send(token, "Content-Type: application/json", body=body.encode())
    assert reply.status == 200, reply.body
    assert forms.received().body.decode() == sent.replace("SECRET", json.dumps(VALUE))
    assert VALUE.encode() not in reply.body


@pytest.mark.parametrize(
    ("body", "kind", "code"),
    [
        (b"", "application/json", "secret"),
        (b'{"auth": "text"}', "application/json", "secret"),
        (b'{"auth": {"token": 1, "token": 2}}', "application/json", "secret"),
        (b'{"auth": {"token": 1}, "auth": {}}', "application/json", "secret"),
        (b'{"auth": [1]}', "application/json", "secret"),
        (b'{"a": NaN}', "application/json", "secret"),
        (b"[" * 200_000, "application/json", "secret"),
        (b"\xff{}", "application/json", "secret"),
        (b"{}", "text/plain", "secret"),
        (b" " * 2_000_000, "application/json", "body_size"),
    ],
)
def test_bodies_that_cannot_take_the_credential(forms: World, body: bytes, kind: str, code: str) -> None:
    token = forms.load(secret="token", **{"as": "json"}, pointer="/auth/token")
    reply = forms.send(token, f"Content-Type: {kind}", body=body)
    assert reply.json()["code"] == code
    assert forms.origin.received == []


def test_a_credential_over_http2(forms: World) -> None:
    token = forms.load(secret="token", **{"as": "json"}, pointer="/key")
    reply = http2.request(
        forms.lab,
        forms.authority,
        token,
        method="POST",
        path="/a",
        headers=[("content-type", "application/json")],
        body=b"{}",
    )
    assert reply.status == 200
    assert json.loads(forms.received().body) == {"key": VALUE}


CRLF_FORMS = [
    {"as": "bearer"},
    {"as": "header", "name": "x-key"},
    {"as": "basic", "username": "u"},
    {"as": "query", "name": "k"},
    {"as": "path", "position": 1},
    {"as": "cookie", "name": "c"},
    {"as": "json", "pointer": "/k"},
    {"as": "placeholder", "text": WORD, "places": ["header", "query", "path", "body"]},
    {"as": "sigv4", "region": "eu-central-1", "service": "s3", "access_key_id": "NOTAREALKEYIDENT"},
]


@pytest.mark.parametrize("form", CRLF_FORMS, ids=lambda form: form["as"])
def test_a_value_with_a_line_end_is_never_sent(forms: World, form: dict) -> None:
    token = forms.load(secret="broken", **form)
    given = form.get("text", "nothing")
    headers = ["Content-Type: application/json", f"X-Given: {given}"]
    reply = forms.send(token, *headers, body=json.dumps({"given": given}).encode())
    assert (reply.status, reply.json()["code"]) == (403, "secret")
    assert "Evil" not in reply.body.decode()
    assert forms.origin.received == []


@pytest.mark.parametrize(
    "form", [{"as": "path", "position": 1}, {"as": "placeholder", "text": WORD, "places": ["path"]}]
)
def test_a_value_cannot_leave_its_path_segment(forms: World, form: dict) -> None:
    token = forms.load(secret="slashed", **form)
    reply = forms.send(token, method="GET", path=f"/{form.get('text', 'a')}/x")
    assert (reply.status, reply.json()["code"]) == (403, "secret")
    assert forms.origin.received == []


def test_sigv4_is_what_aws_would_compute(forms: World) -> None:
    token = forms.load(secret="aws", **{"as": "sigv4"}, region="eu-central-1", service="execute-api")
    body = b'{"x": 1}'
    headers = [
        "Content-Type: application/json",
        "X-Amz-Target: T.List",
        "Authorization: AWS4-HMAC-SHA256 of the program",
    ]
    reply = forms.send(token, *headers, path="/prod/a%20b?z=1&a=%2F", body=body)
    assert reply.status == 200, reply.body
    check_signature(forms.received(), "aws-secret-key-1", "execute-api", forms.authority, double=True)
    assert forms.received().header("x-amz-security-token") == "aws-token-1"
    assert b"aws-token-1" not in reply.body


# AWS's own examples, "Authenticating Requests: Using the Authorization Header", with its example keys.
PUBLISHED = {
    "lifecycle": "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
    "max-keys=2&prefix=J": "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
}


@pytest.mark.parametrize("query", PUBLISHED)
def test_the_signatures_that_aws_publishes(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: datetime(2013, 5, 24, tzinfo=UTC))
    form = SigV4Injection(secret="s", region="us-east-1", service="s3", access_key_id="AKIA" + "IOSFODNN7EXAMPLE")
    request = Outgoing(
        method="GET",
        scheme="https",
        authority=Authority("examplebucket.s3.amazonaws.com", 443),
        path="/",
        query=query,
        headers=(),
        body=b"",
    )
    secret = Secret("s", b"wJalrXUtnFEMI/K7MDENG/" + b"bPxRfiCYEXAMPLEKEY")
    signed = dict(inject([(form, secret)], request).headers)
    assert signed[b"authorization"].decode().rpartition("Signature=")[2] == PUBLISHED[query]


def test_sigv4_for_s3_does_not_encode_the_path_again(forms: World) -> None:
    token = forms.load(secret="aws", **{"as": "sigv4"}, region="eu-central-1", service="s3")
    forms.send(token, method="GET", path="/bucket/a%20b")
    check_signature(forms.received(), "aws-secret-key-1", "s3", forms.authority, double=False)


def test_a_body_signed_in_chunks_is_refused(forms: World) -> None:
    token = forms.load(secret="aws", **{"as": "sigv4"}, region="eu-central-1", service="s3")
    reply = forms.send(token, "Content-Encoding: aws-chunked", body=b"4;chunk-signature=x\r\nabcd\r\n")
    assert (reply.status, reply.json()["code"]) == (415, "coding")
    assert forms.origin.received == []


def check_signature(request: Received, secret: str, service: str, host: str, *, double: bool) -> None:
    """AWS's own description of Signature Version 4, step by step; not botocore's code."""
    path, _, query = line(request).partition("?")
    said = dict(
        part.split("=", 1) for part in request.header("authorization").removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    )
    names = said["SignedHeaders"].split(";")
    assert {"host", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token"} <= set(names)
    assert request.header("host") == host
    digest = hashlib.sha256(request.body).hexdigest()
    assert request.header("x-amz-content-sha256") == digest
    canonical = "\n".join(
        [
            request.line.split(" ")[0],
            quote(path, safe="/~") if double else path,
            "&".join(sorted(query.split("&"))),
            *(f"{name}:{request.header(name)}" for name in names),
            "",
            said["SignedHeaders"],
            digest,
        ]
    )
    stamp = request.header("x-amz-date")
    scope = f"{stamp[:8]}/eu-central-1/{service}/aws4_request"
    assert said["Credential"] == f"NOTAREALKEYIDENT/{scope}"
    to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    assert said["Signature"] == hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


SECOND = [
    "Authorization: Bearer mine",
    "Proxy-Authorization-X: ok",
    "Cookie: session=mine",
    "X-API-Key: mine",
    "x_api_key: mine",
    "Api-Key: mine",
    "X-Auth-Token: mine",
    "X_AUTH_TOKEN: mine",
    "Private-Token: mine",
    "X-Amz-Security-Token: mine",
    "X-Vault-Token: mine",
    "X-GitHub-Token: mine",
    "DD-APPLICATION-KEY: mine",
    "CF-Access-Client-Secret: mine",
    "Ocp-Apim-Subscription-Key: mine",
    "Authentication: mine",
]


@pytest.mark.parametrize("form", [*CRLF_FORMS[:7], CRLF_FORMS[8]], ids=lambda form: form["as"])
def test_no_second_credential_goes_beside_the_injected_one(forms: World, form: dict) -> None:
    token = forms.load(secret="token", **form)
    kept = ["X-Request-Id: 7", "Idempotency-Key: 8", "X-Continuation-Token: 9", "Content-Type: application/json"]
    path = "/v1/a?access_token=mine&q=1&API_KEY=mine&X-Amz-Signature=mine&%61pi_key=mine;client_secret=mine"
    reply = forms.send(token, *SECOND, *kept, path=path, body=b'{"k": "x"}')
    assert reply.status == 200, reply.body
    got = forms.received()
    assert "mine" not in [text for _, text in got.headers]
    assert "mine" not in got.line
    assert "session=mine" not in str(got.headers)
    assert [got.header(name) for name in ("x-request-id", "idempotency-key", "x-continuation-token")] == ["7", "8", "9"]
    assert "q=1" in got.line


def test_placeholders_are_replaced_where_the_rule_says(forms: World) -> None:
    token = forms.load(secret="token", **{"as": "placeholder"}, text=WORD, places=["header", "query", "path", "body"])
    basic = base64.b64encode(f"user:{WORD}".encode()).decode()
    body = json.dumps({"key": WORD, "n": 1}).encode()
    headers = [
        f"Authorization: Basic {basic}",
        f"X-Api-Key: {WORD}",
        "X-Auth-Token: mine",
        "Content-Type: application/json",
    ]
    reply = forms.send(token, *headers, path=f"/v1/{WORD}/x?key={WORD}", body=body)
    assert reply.status == 200, reply.body
    got = forms.received()
    assert line(got) == "/v1/s3cr3t%2BValue%3Dwith~chars/x?key=s3cr3t%2BValue%3Dwith~chars"
    assert base64.b64decode(got.header("authorization").partition(" ")[2]).decode() == f"user:{VALUE}"
    assert got.header("x-api-key") == VALUE
    assert got.header("x-auth-token") is None
    assert json.loads(got.body) == {"key": VALUE, "n": 1}
    assert VALUE.encode() not in reply.body


def test_a_form_body_is_escaped_as_one(forms: World) -> None:
    token = forms.load(secret="token", **{"as": "placeholder"}, text=WORD, places=["body"])
    forms.send(token, "Content-Type: application/x-www-form-urlencoded", body=f"a=1&key={WORD}".encode())
    assert forms.received().body == b"a=1&key=s3cr3t%2BValue%3Dwith~chars"


def test_a_placeholder_split_over_chunks_is_still_one(forms: World) -> None:
    token = forms.load(secret="token", **{"as": "placeholder"}, text=WORD, places=["body"])
    reply = chunked(forms, token, json.dumps({"key": WORD}).encode())
    assert reply.status == 200
    assert json.loads(forms.received().body) == {"key": VALUE}


def chunked(forms: World, token: str, body: bytes, size: int = 5) -> Reply:
    head = f"POST https://{forms.authority}/v1/a HTTP/1.1\nHost: {forms.authority}\nContent-Type: application/json"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    wire = forms.lab.wire()
    wire.send(render(head + "\nTransfer-Encoding: chunked", token))
    for at in range(0, len(framed), 3):
        wire.send(framed[at : at + 3])
    wire.send(b"0\r\n\r\n")
    return wire.reply()


BASIC = base64.b64encode(f"u:{WORD}".encode()).decode()
ABUSE = {
    "in a header": ([f"X-Given: {WORD}"], "/v1/a", b""),
    "in another case": ([f"X-Given: {WORD.lower()}"], "/v1/a", b""),
    "inside a longer word": ([f"X-Given: prefix{WORD}suffix"], "/v1/a", b""),
    "in Basic": ([f"Authorization: Basic {BASIC}"], "/v1/a", b""),
    "percent-encoded in a header": (["X-Given: %4cOCKGATE_LEDGER_KEY"], "/v1/a", b""),
    "in the query": ([], f"/v1/a?x={WORD}", b""),
    "percent-encoded in the query": ([], "/v1/a?x=LOCKGATE%5FLEDGER_KEY", b""),
    "in the path": ([], f"/v1/{WORD}", b""),
    "in the path in another case": ([], f"/v1/{WORD.title()}", b""),
    "in a header's name": ([f"{WORD}: x"], "/v1/a", b""),
    "in a body": ([], "/v1/a", f'{{"key": "{WORD}"}}'.encode()),
    "in a body in another case": ([], "/v1/a", f'{{"key": "{WORD.lower()}"}}'.encode()),
}

NUMBERS = count(1)  # of executions, so that each finds its own event


@pytest.mark.parametrize("case", ABUSE)
@pytest.mark.parametrize("other", ["no credential", "another credential"])
def test_a_placeholder_sent_to_another_rule_is_refused(forms: World, case: str, other: str) -> None:
    headers, path, body = ABUSE[case]
    ports = [forms.origin.port]
    places = ["header", "query", "path", "body"]
    injected = {"secret": "token", "as": "placeholder", "text": WORD, "places": places}
    meant = rule(name="meant", hosts=["other.example.test"], ports=ports, schemes=["https"], inject=injected)
    bearer = {"inject": {"secret": "pair", "as": "bearer"}} if other == "another credential" else {}
    rules = rule_set(meant, rule(name="here", ports=ports, schemes=["https"], **bearer))
    forms.token(rules)
    execution = f"placeholder-{next(NUMBERS)}"
    reply = forms.send(forms.lab.token(rules, execution=execution), *headers, path=path, body=body)
    assert (reply.status, reply.json()["code"]) == (403, "placeholder")
    assert WORD.encode() not in b"".join(request.body for request in forms.origin.received)
    assert forms.lab.event(lambda event: event.get("execution") == execution)["code"] == "placeholder"


def test_a_placeholder_split_over_chunks_is_refused_elsewhere(forms: World) -> None:
    meant = rule(
        name="meant", hosts=["other.example.test"], inject={"secret": "token", "as": "placeholder", "text": WORD}
    )
    token = forms.token(rule_set(meant, rule(name="here", ports=[forms.origin.port], schemes=["https"])))
    body = b"x" * 1000 + WORD.encode() + b"y" * 1000
    reply = chunked(forms, token, body, size=4)
    assert (reply.status, reply.json()["code"]) == (403, "placeholder")
    assert all(WORD.encode() not in request.body for request in forms.origin.received)


@pytest.mark.parametrize("case", [case for case in ABUSE if "header" in case or "case" in case or "body" in case])
def test_a_placeholder_out_of_its_places_is_refused(forms: World, case: str) -> None:
    headers, path, body = ABUSE[case]
    token = forms.load(secret="token", **{"as": "placeholder"}, text=WORD, places=["query"])
    reply = forms.send(token, *headers, path=path, body=body)
    assert (reply.status, reply.json()["code"]) == (403, "placeholder")
    assert all(WORD.lower() not in str(request).lower() for request in forms.origin.received)


def test_a_body_that_nearly_has_a_placeholder_streams_through(forms: World) -> None:
    meant = rule(
        name="meant", hosts=["other.example.test"], inject={"secret": "token", "as": "placeholder", "text": WORD}
    )
    token = forms.token(rule_set(meant, rule(name="here", ports=[forms.origin.port], schemes=["https"])))
    body = (WORD[:-1].encode() + b"-") * 50 + WORD[:-1].encode()
    assert chunked(forms, token, body, size=7).status == 200
    assert body in [request.body for request in forms.origin.received]
