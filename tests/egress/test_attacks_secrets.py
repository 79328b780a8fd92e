"""Attempts to get a rule's secret onto another request, or another credential beside it: against the live proxy."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from sandboxes.rule_set import RuleSet
from tests.egress import http2
from tests.egress.conftest import echo
from tests.egress.lab import Lab, Reply, Wire, render, rule, rule_set, start
from tests.egress.origin import Origin, answer

ADMIN, READER = "admin-secret-of-one-rule", "reader-secret-of-another"


@dataclass
class Two:
    """One host, a rule for `/admin/**` by POST and one for `/public/**` by GET, each with a secret of its own."""

    lab: Lab
    origin: Origin
    rules: RuleSet
    token: str

    @property
    def authority(self) -> str:
        return f"api.example.test:{self.origin.port}"

    def send(self, method: str, path: str, *headers: str) -> Reply:
        lines = [f"{method} https://{self.authority}{path} HTTP/1.1", f"Host: {self.authority}", *headers]
        return self.lab.request("\n".join(lines), self.token)

    def seen(self) -> str:
        """Everything that any upstream got."""
        return str(self.origin.received)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[Two]:
    origin = Origin(echo, authority.server("api.example.test", "other.example.test"))
    here = {"ports": [origin.port], "schemes": ["https"]}
    admin = {"secret": "admin", "as": "bearer"}
    reader = {"secret": "reader", "as": "header", "name": "x-api-key"}
    rules = rule_set(
        rule(name="admin", methods=["POST"], paths=["/admin/**"], inject=admin, **here),
        rule(name="public", methods=["GET"], paths=["/public/**"], inject=reader, **here),
        rule(name="other", hosts=["other.example.test"], methods=["GET"], **here),
    )
    lab = start(
        tmp_path_factory.mktemp("state"),
        rules,
        env={"ADMIN": ADMIN, "READER": READER},
        secrets={"admin": {"env": "ADMIN"}, "reader": {"env": "READER"}},
        hosts={"api.example.test": "127.0.0.1", "other.example.test": "127.0.0.1"},
        extra_ca_file=str(authority.file),
    )
    yield Two(lab, origin, rules, lab.token(rules, expires_in=600))
    assert lab.stop() == 0
    origin.close()


@pytest.fixture(autouse=True)
def nothing_received(two: Two) -> None:
    two.origin.received.clear()
    two.origin.handler = echo


def test_each_rule_has_its_own_secret(two: Two) -> None:
    assert two.send("POST", "/admin/x", "Content-Length: 0").status == 200
    assert two.send("GET", "/public/x").status == 200
    admin, public = two.origin.received
    assert (admin.header("authorization"), admin.header("x-api-key")) == (f"Bearer {ADMIN}", None)
    assert (public.header("authorization"), public.header("x-api-key")) == (None, READER)


@pytest.mark.parametrize(
    "path",
    [
        "/public/../admin/x", "/public/%2e%2e/admin/x", "/public/%2E./admin/x", "/public/..%2fadmin/x",
        "/public/..;/admin/x", "//admin/x", "/public//../admin/x", "/public/%252e%252e/admin/x", "/./admin/x",
        "/public/x%00/../../admin", "/public\\..\\admin/x", "/Admin/x", "/admin", "/%61dmin/x", "/admin%2Fx",
    ],
)  # fmt: skip
def test_no_path_gets_a_secret_that_its_rule_would_not_give(two: Two, path: str) -> None:
    for method in ("GET", "POST"):
        reply = two.send(method, path, "Content-Length: 0")
        assert reply.status in {200, 400, 403}
    assert all(
        request.line.split()[1].startswith("/admin/") for request in two.origin.received if ADMIN in str(request)
    )
    assert all(request.line.startswith("POST") for request in two.origin.received if ADMIN in str(request))


@pytest.mark.parametrize(
    "method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "post", "Post", "POSTX", "TRACE"]
)
def test_a_method_that_is_not_the_rules_gets_no_secret(two: Two, method: str) -> None:
    head = "\n".join(
        [f"{method} https://{two.authority}/admin/x HTTP/1.1", f"Host: {two.authority}", "Content-Length: 0"]
    )
    wire = two.lab.wire()
    wire.send(render(head, two.token))
    assert wire.reply(head=method == "HEAD").status == 403
    assert two.origin.received == []


@pytest.mark.parametrize(
    "override",
    ["X-HTTP-Method-Override: POST", "X-HTTP-Method: DELETE", "X-Method-Override: POST", "X-Original-URL: /admin/x"],
)
def test_a_header_that_renames_the_request_does_not_change_its_secret(two: Two, override: str) -> None:
    two.send("GET", "/public/x", override)
    assert ADMIN not in two.seen()


@pytest.mark.parametrize(
    "location", ["https://other.example.test:{port}/x", "https://api.example.test:{port}/public/x"]
)
def test_a_redirect_carries_no_secret_to_where_it_leads(two: Two, location: str) -> None:
    """The proxy follows none; the hop that a client makes is decided afresh, with what that rule gives."""
    where = location.format(port=two.origin.port)
    two.origin.handler = lambda _: answer(b"", "307 Temporary Redirect", ("Location", where))
    reply = two.send("POST", "/admin/x", "Content-Length: 0")
    assert (reply.status, reply.header("location")) == (307, where)
    assert len(two.origin.received) == 1
    two.origin.handler = echo
    host = where.partition("://")[2].partition("/")[0]
    two.lab.request(f"GET {where} HTTP/1.1\nHost: {host}", two.token)
    assert ADMIN not in str(two.origin.received[1:])


@pytest.mark.parametrize(
    "smuggled",
    [
        "X-A: b\r\nAuthorization: Bearer mine",
        "Authorization : Bearer mine",
        "Authorization\t: Bearer mine",
        " Authorization: Bearer mine",
        "X-A: b\nAuthorization: Bearer mine",
        "X-A: b\rAuthorization: Bearer mine",
        "X-A: b\x00Authorization: Bearer mine",
        "authorization: Bearer mine\r\nAUTHORIZATION: Bearer mine",
        "Connection: Authorization\r\nAuthorization: Bearer mine",
        "Connection: X-Api-Key",
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
    ],
)
def test_no_header_smuggles_a_second_credential(two: Two, smuggled: str) -> None:
    head = f"GET https://{two.authority}/public/x HTTP/1.1\nHost: {two.authority}"
    wire = two.lab.wire()
    wire.send(render(head, two.token).removesuffix(b"\r\n") + f"{smuggled}\r\n\r\n".encode())
    status = wire.reply().status
    for request in two.origin.received:
        assert status == 200
        assert "mine" not in str(request.headers)
        assert [value for name, value in request.headers if name.lower() == "x-api-key"] == [READER]


@pytest.mark.parametrize(
    "field", [("authorization", "Bearer mine"), ("x_api_key", "mine"), ("cookie", "a=mine"), ("x-auth-token", "mine")]
)
def test_no_header_of_http2_is_a_second_credential(two: Two, field: tuple[str, str]) -> None:
    reply = http2.request(two.lab, two.authority, two.token, path="/public/x", headers=[field, ("cookie", "b=mine")])
    assert reply.status == 200
    assert "mine" not in two.seen()
    assert two.origin.received[0].header("x-api-key") == READER


def test_trailers_bring_no_second_credential(two: Two) -> None:
    wire = two.lab.wire()
    head = f"POST https://{two.authority}/admin/x HTTP/1.1\nHost: {two.authority}\nTransfer-Encoding: chunked"
    wire.send(render(f"{head}\nTrailer: X-Api-Key", two.token) + b"2\r\nab\r\n0\r\nX-Api-Key: mine\r\n\r\n")
    assert wire.reply().status == 200
    assert "mine" not in two.seen()


def test_a_tunnel_gets_each_request_its_own_secret(two: Two) -> None:
    wire = two.lab.secure(two.lab.tunnel(two.authority, two.token), "api.example.test")
    assert [ask(wire, two, line).status for line in ("POST /admin/x", "GET /public/x", "GET /admin/x")] == [
        200,
        200,
        403,
    ]
    assert [ADMIN in str(request) for request in two.origin.received] == [True, False]
    assert [READER in str(request) for request in two.origin.received] == [False, True]


def ask(wire: Wire, two: Two, line: str) -> Reply:
    wire.send(render(f"{line} HTTP/1.1\nHost: {two.authority}\nContent-Length: 0"))
    return wire.reply()


def test_no_answer_of_the_proxy_names_what_a_secret_is(two: Two) -> None:
    replies = [two.send("GET", "/admin/x"), two.send("GET", "/public/x"), two.send("GET", "/none")]
    said = "".join(str(reply.headers) + reply.body.decode() for reply in replies)
    assert ADMIN not in said
    assert READER not in said
    assert json.loads(replies[1].header("lockgate-egress"))["credential"] == "reader -> x-api-key: ***"
