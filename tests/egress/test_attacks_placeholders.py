"""ATTACKS, "At the egress proxy", by every client: a placeholder where no rule replaces it never leaves."""

import base64
from collections.abc import Iterator
from itertools import count

import pytest

from tests.egress.asking import EVERY_WAY, Ask, Asked, port_of
from tests.egress.conftest import echo
from tests.egress.lab import World, rule, rule_set, start
from tests.egress.origin import Origin

HERE, MEANT = "api.example.test", "other.example.test"
WORD, VALUE = "LOCKGATE_LEDGER_KEY", "s3cr3t+Value=with~chars"
BASIC = base64.b64encode(f"user:{WORD}".encode()).decode()
BODY_SIZE = 1 << 20
ABUSE: dict[str, dict] = {
    "in a header": {"headers": [("x-key", WORD)]},
    "in a header in another case": {"headers": [("x-key", WORD.lower())]},
    "in a header that credentials have": {"headers": [("authorization", f"Bearer {WORD}")]},
    "in Basic": {"headers": [("authorization", f"Basic {BASIC}")]},
    "in a header's name": {"headers": [(WORD.lower(), "x")]},
    "in the query": {"path": f"/v1?key={WORD}"},
    "in the query in another case": {"path": f"/v1?key={WORD.title()}"},
    "in the query percent-encoded": {"path": f"/v1?key=%4C{WORD[1:]}"},
    "in the path": {"path": f"/v1/{WORD}/a"},
    "in the path in another case": {"path": f"/v1/{WORD.lower()}"},
    "in a body": {"body": f'{{"key": "{WORD}"}}'.encode()},
    "in a body in another case": {"body": f'{{"key": "{WORD.lower()}"}}'.encode()},
    "in a body percent-encoded": {"body": f"key=%4C{WORD[1:]}".encode()},
    "across pieces of a large body": {"body": b"x" * (BODY_SIZE - 7) + WORD.encode() + b"y" * BODY_SIZE},
}
NUMBERS = count(1)  # of executions, so that each finds its own event


@pytest.fixture(scope="module")
def placed(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[World]:
    """One rule replaces the word in every place, at another host; of the rules for this one none does."""
    plain, secure = Origin(echo), Origin(echo, authority.server(HERE, MEANT))
    ports = [plain.port, secure.port]
    injected = {"secret": "token", "as": "placeholder", "text": WORD, "places": ["header", "query", "path", "body"]}
    meant = rule(name="meant", hosts=[MEANT], ports=ports, inject=injected)
    none = rule_set(meant, rule(name="here", ports=ports))
    another = rule_set(meant, rule(name="here", ports=ports, inject={"secret": "pair", "as": "bearer"}))
    lab = start(
        tmp_path_factory.mktemp("state"),
        none,
        another,
        env={"TOKEN": VALUE, "PAIR": "another-credential"},
        secrets={"token": {"env": "TOKEN"}, "pair": {"env": "PAIR"}},
        hosts={HERE: "127.0.0.1", MEANT: "127.0.0.1"},
        extra_ca_file=str(authority.file),
    )
    yield World(lab, plain, secure, none, another)
    assert lab.stop() == 0
    plain.close()
    secure.close()


@pytest.fixture(autouse=True)
def nothing_received(placed: World) -> None:
    placed.plain.received.clear()
    placed.secure.received.clear()


@EVERY_WAY
@pytest.mark.parametrize("case", ABUSE)
@pytest.mark.parametrize("with_credential", [False, True])
def test_a_placeholder_at_another_rule_is_refused(placed: World, ask: Ask, case: str, *, with_credential: bool) -> None:
    execution = f"placeholder-{next(NUMBERS)}"
    token = placed.lab.token(placed.with_secret if with_credential else placed.open, execution=execution)
    asked = Asked(host=HERE, port=port_of(placed, ask), token=token, method="POST", **{"body": b"", **ABUSE[case]})
    reply = ask(placed, asked)
    # A client that still sends its body may find the connection closed.
    assert reply.status == 403 or (reply.status == 0 and len(asked.body) >= BODY_SIZE), reply
    event = placed.lab.event(lambda event: event["execution"] == execution and event["method"] == "POST")
    assert event["code"] == "placeholder"
    got = repr(placed.plain.received + placed.secure.received).lower()
    assert WORD.lower() not in got
    assert BASIC.lower() not in got
    assert VALUE.lower() not in got


@EVERY_WAY
def test_where_it_is_meant_it_is_replaced(placed: World, ask: Ask) -> None:
    asked = Asked(
        host=MEANT, port=port_of(placed, ask), token=placed.token(), method="POST", path=f"/v1/{WORD}?key={WORD}",
        headers=[("x-key", WORD), ("content-type", "application/json")], body=f'{{"key": "{WORD}"}}'.encode(),
    )  # fmt: skip
    reply = ask(placed, asked)
    assert reply.status == 200, reply
    (got,) = placed.plain.received + placed.secure.received
    assert WORD not in repr(got)
    assert got.header("x-key") == VALUE
    assert VALUE.encode() in got.body
    assert VALUE.encode() not in reply.body
