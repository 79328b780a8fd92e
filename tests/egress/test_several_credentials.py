"""Several credentials of one rule: all of them go on, nothing of the program's own beside them, and none comes back."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from egress.injection import inject
from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.authority import Authority
from sandboxes.injections import injections_of
from tests.egress.asking import EVERY_WAY, Ask, Asked, port_of, refused
from tests.egress.conftest import echo
from tests.egress.lab import World, rule, rule_set, start
from tests.egress.origin import Origin, Received

HOST, WORD = "api.example.test", "LOCKGATE_MAPS_KEY"
KEY, CLIENT, PASSWORD = "maps-key-value-1", "client+value/2", "robot-password-3"
VALUES = {"KEY": KEY, "CLIENT": CLIENT, "PASSWORD": PASSWORD, "BROKEN": "one\r\nX-Evil: yes"}
HEADER = {"secret": "key", "as": "header", "name": "X-Api-Key"}
QUERY = {"secret": "client", "as": "query", "name": "client_id"}
BASIC = {"secret": "password", "as": "basic", "username": "robot"}
FIELD = {"secret": "client", "as": "json", "pointer": "/auth/client"}
PLACEHOLDER = {"secret": "key", "as": "placeholder", "text": WORD, "places": ["header", "query", "body"]}
SIGNED = {"secret": "password", "as": "sigv4", "region": "eu-central-1", "service": "execute-api",
          "access_key_id": "NOTAREALKEYIDENT"}  # fmt: skip
OWN = [
    ("authorization", "Bearer mine"), ("x-api-key", "mine"), ("x_api_key", "mine"), ("cookie", "session=mine"),
    ("x-auth-token", "mine"), ("private-token", "mine"),
]  # fmt: skip
OWN_QUERY = "client_id=mine&%63lient_ID=mine&access_token=mine&q=1"


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[World]:
    plain, secure = Origin(echo), Origin(echo, authority.server(HOST))
    nothing = rule_set()
    lab = start(
        tmp_path_factory.mktemp("state"),
        nothing,
        env=VALUES,
        secrets={name: {"env": name.upper()} for name in ("key", "client", "password", "broken", "gone")},
        hosts={HOST: "127.0.0.1"},
        extra_ca_file=str(authority.file),
    )
    yield World(lab, plain, secure, nothing, nothing)
    assert lab.stop() == 0
    assert not any(value in lab.events.read_text() for value in (KEY, CLIENT, PASSWORD))
    plain.close()
    secure.close()


@pytest.fixture(autouse=True)
def nothing_received(several: World) -> None:
    several.plain.received.clear()
    several.secure.received.clear()


def load(world: World, *inject: dict[str, Any]) -> str:
    ports = [world.plain.port, world.secure.port]
    return world.load(rule_set(rule(name="r", ports=ports, inject=list(inject))))


def received(world: World) -> Received:
    (one,) = world.plain.received + world.secure.received
    return one


def headers(request: Received, name: str) -> list[str]:
    return [value for each, value in request.headers if each.lower() == name]


@EVERY_WAY
def test_all_go_on_and_the_programs_own_go(several: World, ask: Ask) -> None:
    token = load(several, HEADER, QUERY, BASIC)
    path = f"/v1?{OWN_QUERY}"
    reply = ask(several, Asked(host=HOST, port=port_of(several, ask), token=token, path=path, headers=OWN))
    assert reply.status == 200, reply
    got = received(several)
    assert headers(got, "x-api-key") == [KEY]
    assert len(headers(got, "authorization")) == 1
    assert got.line.split(" ")[1] == "/v1?q=1&client_id=client%2Bvalue%2F2"
    assert "mine" not in str(got)


@EVERY_WAY
def test_none_comes_back(several: World, ask: Ask) -> None:
    """The origin says what it got: every one of them is taken out, in the rendering in which it was sent."""
    token = load(several, HEADER, QUERY, BASIC)
    reply = ask(several, Asked(host=HOST, port=port_of(several, ask), token=token))
    assert [reply.body.count(f"[redacted:{name}]".encode()) for name in ("key", "client", "password")] == [1, 1, 1]
    for value in (KEY, CLIENT, PASSWORD, "client%2Bvalue%2F2"):
        assert value.encode() not in reply.body
    shown = reply.note()["credential"]
    assert shown == "key -> x-api-key: ***, client -> ?client_id=***, password -> authorization: Basic ***"


@EVERY_WAY
@pytest.mark.parametrize("missing", ["gone", "broken"])
def test_all_of_them_or_nothing_leaves(several: World, ask: Ask, missing: str) -> None:
    token = load(several, HEADER, {**QUERY, "secret": missing, "as": "header", "name": "X-Second"})
    assert refused(several, ask, Asked(host=HOST, port=port_of(several, ask), token=token)) == "secret"


@EVERY_WAY
def test_one_in_the_body_waits_for_it_and_the_others_with_it(several: World, ask: Ask) -> None:
    token = load(several, FIELD, HEADER)
    body = json.dumps({"auth": {"client": "mine"}, "n": 1}).encode()
    asked = Asked(
        host=HOST, port=port_of(several, ask), token=token, method="POST", body=body,
        headers=[*OWN, ("content-type", "application/json")],
    )  # fmt: skip
    assert ask(several, asked).status == 200
    got = received(several)
    assert json.loads(got.body) == {"auth": {"client": CLIENT}, "n": 1}
    assert headers(got, "x-api-key") == [KEY]
    assert "mine" not in str(got)


@EVERY_WAY
def test_a_placeholder_does_not_keep_a_header_that_another_goes_to(several: World, ask: Ask) -> None:
    token = load(several, PLACEHOLDER, BASIC, QUERY)
    own = [("authorization", f"Bearer {WORD}"), ("x-maps-api-key", WORD), ("x-auth-token", "mine")]
    path = f"/v1?client_id={WORD}&key={WORD}"
    reply = ask(several, Asked(host=HOST, port=port_of(several, ask), token=token, path=path, headers=own))
    assert reply.status == 200, reply
    got = received(several)
    (authorization,) = headers(got, "authorization")
    assert authorization.startswith("Basic ")
    assert headers(got, "x-maps-api-key") == [KEY]
    assert headers(got, "x-auth-token") == []
    assert got.line.split(" ")[1] == f"/v1?key={KEY}&client_id=client%2Bvalue%2F2"


def test_a_signature_is_over_what_the_others_made(several: World) -> None:
    """In whatever order they are written."""
    asked = Outgoing(
        method="POST", scheme="https", authority=Authority(HOST, 443), path="/a", query=None,
        headers=((b"content-type", b"application/json"),), body=b"{}",
    )  # fmt: skip
    given = {"key": KEY, "client": CLIENT, "password": PASSWORD}
    made = []
    for order in ([SIGNED, QUERY, FIELD], [FIELD, QUERY, SIGNED]):
        (made_rule,) = rule_set(rule(schemes=["https"], inject=order)).rules
        pairs = [(each, Secret(each.secret, given[each.secret].encode())) for each in made_rule.injections]
        made.append(inject(pairs, asked))
    one, other = ({name: value for name, value in each.headers if name != b"x-amz-date"} for each in made)
    assert made[0].query == made[1].query == "client_id=client%2Bvalue%2F2"
    assert one[b"x-amz-content-sha256"] == other[b"x-amz-content-sha256"]
    assert b"SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date" in one[b"authorization"]


@pytest.mark.parametrize(
    ("inject", "said"),
    [
        ([BASIC, {"secret": "key", "as": "bearer"}], "two credentials go to the header authorization"),
        ([SIGNED, {"secret": "key", "as": "bearer"}], "two credentials go to the header authorization"),
        ([HEADER, {**HEADER, "name": "x_api_key", "secret": "client"}], "two credentials go to the header x-api-key"),
        ([HEADER, {**HEADER, "name": "Cookie"}, {"secret": "key", "as": "cookie", "name": "a"}], "header cookie"),
        ([QUERY, {**QUERY, "name": "CLIENT_ID"}], "two credentials go to the query parameter client_id"),
        ([{"secret": "key", "as": "path", "position": n} for n in (1, 2)], "two credentials go to the path"),
        ([FIELD, {**FIELD, "pointer": "/auth"}], "two credentials go to the field /auth/client"),
        ([PLACEHOLDER, {**PLACEHOLDER, "text": WORD.lower() + "2"}], "two credentials go to the placeholder"),
        ([{"secret": name, "as": "mtls"} for name in ("key", "client")], "go to the client certificate"),
        ([], "at least 1 item"),
        ([{**HEADER, "name": f"X-{n}"} for n in range(5)], "at most 4 items"),
    ],
)  # fmt: skip
def test_two_in_one_place_are_refused_when_they_are_read(inject: list[dict[str, Any]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        rule(schemes=["https"], inject=inject)


FORMS = [HEADER, QUERY, BASIC, PLACEHOLDER, {"secret": "key", "as": "cookie", "name": "sid"},
         {"secret": "key", "as": "path", "position": 1}, {**HEADER, "name": "X-Client-Secret"}]  # fmt: skip
NAMES = ["Authorization", "authorization", "X-Api-Key", "x_api_key", "Cookie", "X-Client-Secret", "Accept"]
VALUES_OF_ITS_OWN = ["mine", WORD, f"Bearer {WORD}", f"mine {WORD}"]
FIELDS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES_OF_ITS_OWN)), max_size=6)


@given(st.lists(st.sampled_from(FORMS), min_size=1, max_size=4, unique_by=str), FIELDS)
def test_each_place_has_its_credential_once_and_nothing_else(
    chosen: list[dict[str, Any]], fields: list[tuple[str, str]]
) -> None:
    (made,) = rule_set(rule(schemes=["https"], inject=chosen)).rules
    pairs = [(each, Secret(each.secret, VALUES[each.secret.upper()].encode())) for each in made.injections]
    asked = Outgoing(
        method="GET", scheme="https", authority=Authority(HOST, 443), path="/a", query="client_id=mine&q=1",
        headers=tuple((name.encode(), value.encode()) for name, value in fields), body=b"",
    )  # fmt: skip
    if PLACEHOLDER not in chosen:
        asked = asked.with_headers((name, value.replace(WORD.encode(), b"mine")) for name, value in asked.headers)
    sent = inject(pairs, asked)
    names = [name.lower().replace(b"_", b"-") for name, _ in sent.headers]
    for each in injections_of(made.inject):
        for place in each.takes():
            kind, _, name = place.partition(" ")
            assert kind != "header" or names.count(name.encode()) == 1
    # What stays of the program's own credentials is where a placeholder was replaced.
    own = [value for name, value in sent.headers if name.lower() != b"accept" and b"mine" in value]
    assert PLACEHOLDER in chosen or own == []
