"""ATTACKS, "At the egress proxy", by every client: what ends, is used up or stands still on the way."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count

import pytest

from sandboxes.budgets import Budgets, Terms
from sandboxes.generation import make_generation
from sandboxes.rule_set import RuleSet
from tests.egress.asking import ASKERS, EVERY_WAY, Ask, Asked, in_a_tunnel, over_http2, port_of
from tests.egress.conftest import echo
from tests.egress.lab import Reply, World, rule, rule_set, start
from tests.egress.origin import Origin, Received, answer

HOST, PROFILE = "api.example.test", "sha256:under-way"
SHORT = {"body_s": 0.4, "answer_s": 0.4, "events_s": 1_000}
HELLO = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
NUMBERS = count(1)


def generation(number: int, rules: RuleSet, **budgets: int) -> dict:
    terms = Terms(name="p", environments=("dev",), budgets=Budgets.model_validate({"execution": budgets}))
    made = make_generation(number, {"profile p": rules}, [(PROFILE, terms)])
    return made.model_dump(mode="json", by_alias=True)


@pytest.fixture(scope="module")
def under_way(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[World]:
    plain, secure = Origin(echo), Origin(echo, authority.server(HOST))
    rules = rule_set(rule(name="r", ports=[plain.port, secure.port]))
    lab = start(tmp_path_factory.mktemp("state"), rules, hosts={HOST: "127.0.0.1"}, extra_ca_file=str(authority.file))
    yield World(lab, plain, secure, rules, rules)
    assert lab.stop() == 0
    plain.close()
    secure.close()


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory, under_way: World, authority) -> Iterator[World]:
    """Another proxy in front of the same origins, which waits for nobody."""
    lab = start(
        tmp_path_factory.mktemp("state"), under_way.open, hosts={HOST: "127.0.0.1"},
        extra_ca_file=str(authority.file), patience=SHORT,
    )  # fmt: skip
    yield World(lab, under_way.plain, under_way.secure, under_way.open, under_way.open)
    assert lab.stop() == 0


@pytest.fixture(autouse=True)
def over(under_way: World) -> Iterator[threading.Event]:
    """Set at the end of a test, so that no origin waits on."""
    under_way.plain.received.clear()
    under_way.secure.received.clear()
    event = threading.Event()
    yield event
    event.set()


@contextmanager
def asking(world: World, ask: Ask, over: threading.Event, **claims: object) -> Iterator[Callable[[], Reply]]:
    """Somebody reads an answer without end, whose beginning is there; gives what waits for the end of it."""
    begun = threading.Event()

    def endless(_: Received) -> Iterator[bytes]:
        yield HELLO
        begun.set()
        over.wait(20)

    world.plain.handler = world.secure.handler = endless
    token = world.lab.token(world.open, **claims)
    asked = Asked(host=HOST, port=port_of(world, ask), token=token, path=f"/{claims['execution']}")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, world, asked)
        assert begun.wait(15)
        yield lambda: waiting.result(15)


def test_a_token_that_expires(under_way: World, over: threading.Event) -> None:
    """All clients at once, because a token lives for whole seconds. Half an answer cannot be taken for a whole one."""
    with ThreadPoolExecutor(len(ASKERS)) as pool:
        begun = threading.Barrier(len(ASKERS) + 1)

        def endless(_: Received) -> Iterator[bytes]:
            yield HELLO
            begun.wait(15)
            over.wait(20)

        under_way.plain.handler = under_way.secure.handler = endless
        waiting = {}
        for ask in ASKERS:
            token = under_way.lab.token(under_way.open, expires_in=3, execution=f"expires-{ask.__name__}")
            asked = Asked(host=HOST, port=port_of(under_way, ask), token=token, path=f"/expires-{ask.__name__}")
            waiting[ask] = pool.submit(ask, under_way, asked)
        begun.wait(15)
        for ask, reply in waiting.items():
            got = reply.result(15)
            assert not got.whole, (ask, got)
            assert under_way.lab.record(f"/expires-{ask.__name__}")["code"] == "expired"


@EVERY_WAY
def test_a_rule_that_is_withdrawn(under_way: World, ask: Ask, over: threading.Event) -> None:
    number = 2 * next(NUMBERS)
    assert under_way.lab.command(generation=generation(number, under_way.open))["done"]
    execution = f"withdrawn-{ask.__name__}"
    with asking(under_way, ask, over, execution=execution, profile=PROFILE, generation=number) as ended:
        assert under_way.lab.command(generation=generation(number + 1, rule_set()))["done"]
        ended()
    assert under_way.lab.record(f"/{execution}")["code"] == "withdrawn"


@EVERY_WAY
def test_a_budget_in_the_middle_of_an_answer(under_way: World, ask: Ask) -> None:
    number = 2 * next(NUMBERS)
    assert under_way.lab.command(generation=generation(number, under_way.open, bytes_in=1_000))["done"]
    piece = b"190\r\n" + b"x" * 400 + b"\r\n"
    under_way.plain.handler = under_way.secure.handler = lambda _: [HELLO, piece * 3, b"0\r\n\r\n"]
    execution = f"bytes-in-{ask.__name__}"
    token = under_way.lab.token(under_way.open, profile=PROFILE, generation=number, execution=execution)
    reply = ask(under_way, Asked(host=HOST, port=port_of(under_way, ask), token=token, path=f"/{execution}"))
    assert reply.status in {0, 200}
    assert not reply.whole
    assert len(reply.body) <= 1_000
    assert under_way.lab.record(f"/{execution}")["code"] == "budget"


def test_a_budget_in_the_middle_of_a_body_over_http2(under_way: World) -> None:
    """No length is announced there. The origin has no whole request."""
    number = 2 * next(NUMBERS)
    assert under_way.lab.command(generation=generation(number, under_way.open, bytes_out=100_000))["done"]
    under_way.secure.handler = echo
    token = under_way.lab.token(under_way.open, profile=PROFILE, generation=number, execution="bytes-out")
    asked = Asked(
        host=HOST, port=under_way.secure.port, token=token, path="/bytes-out", method="POST", body=b"x" * 300_000
    )
    reply = over_http2(under_way, asked)
    assert (reply.status, reply.json()["code"]) == (429, "budget")
    assert under_way.secure.received == []


@EVERY_WAY
def test_an_upstream_that_does_not_answer(impatient: World, ask: Ask, over: threading.Event) -> None:
    def silent(_: Received) -> bytes:
        over.wait(20)
        return answer()

    impatient.plain.handler = impatient.secure.handler = silent
    path = f"/silent-{ask.__name__}"
    asked = Asked(host=HOST, port=port_of(impatient, ask), token=impatient.token(), path=path)
    reply = ask(impatient, asked)
    if ask in {in_a_tunnel, over_http2}:
        assert reply.status == 0  # nothing can be said within a client's own TLS any more: it is closed
    else:
        assert (reply.status, reply.json()["error"]) == (502, "upstream_timeout")
    assert impatient.lab.record(path)["code"] == "upstream_timeout"


@EVERY_WAY
def test_an_upstream_that_stops_in_the_middle(impatient: World, ask: Ask, over: threading.Event) -> None:
    execution = f"stops-{ask.__name__}"
    with asking(impatient, ask, over, execution=execution) as ended:
        reply = ended()
    assert not reply.whole
    assert impatient.lab.record(f"/{execution}")["code"] == "slow"
