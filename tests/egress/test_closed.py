"""Closed by construction: whatever a hook lets out, nothing leaves that was not decided, and it is counted."""

import asyncio
import ipaddress
import socket
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egress.addresses import Allowance
from tests.egress import http2
from tests.egress.in_process import InProcess, everything, http1
from tests.egress.lab import Wire, events_in, render, rule, rule_set
from tests.egress.origin import Origin, answer

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mitmproxy uses a deprecated name of pyparsing's when it is imported
    from mitmproxy import exceptions, hooks

    from egress.dialer import DIAL, AddressRefusedError, Destination, Dial, GuardedLoop

RULES = rule_set(rule(hosts=["api.example.test"]))
# The hooks a request's way out passes through, in order.
DECIDING = [
    "client_connected",
    "next_layer",
    "requestheaders",
    "request",
    "server_connect",
    "tls_start_server",
]
ON_THE_WAY_BACK = ["server_connected", "tls_established_server", "responseheaders", "response"]
TUNNEL = ["http_connect", "http_connected", "tls_clienthello", "tls_start_client"]


# What starts and ends the proxy itself: an error there keeps it from starting.
OWN_LIFE = {"load", "running", "configure", "done", "update", "add_log"}
EVERY_HOOK = sorted(set(hooks.all_hooks) - OWN_LIFE)
# After these have run, the request is with the upstream.
SENT_BEFORE = {
    "responseheaders",
    "response",
    "error",
    "client_disconnected",
    "server_disconnected",
    "tls_failed_client",
}


class HangError(Exception):
    """Told to a saboteur: do not raise, wait for ever."""


class Saboteur:
    """An addon that raises, or hangs, in the hook it is told to."""

    def __init__(self) -> None:
        self.hook: str | None = None
        self.raises: BaseException = RuntimeError("sabotage")


def _raising(name: str) -> Callable[..., Any]:
    def hook(self: Saboteur, *_: Any) -> Any:
        if self.hook != name:
            return None
        if isinstance(self.raises, HangError):
            return asyncio.Event().wait()
        raise self.raises

    return hook


for _name in EVERY_HOOK:
    setattr(Saboteur, _name, _raising(_name))


class Sabotaged(InProcess):
    """A proxy with a saboteur."""

    def __init__(self, state: Path, **more: Any) -> None:
        self.saboteur = Saboteur()
        super().__init__(state, RULES, addons=[self.saboteur], **more)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[Sabotaged]:
    made = Sabotaged(tmp_path_factory.mktemp("state"), extra_ca_file=str(authority.file))
    yield made
    made.close()


@pytest.fixture(scope="module")
def origin(authority) -> Iterator[Origin]:
    made = Origin(lambda _: answer(b"out"), authority.server("api.example.test"))
    yield made
    made.close()


@contextmanager
def sabotaged(proxy: Sabotaged, hook: str, error: BaseException, *, first: bool) -> Iterator[None]:
    chain = proxy.manager.chain
    chain.remove(proxy.saboteur)
    chain.insert(0 if first else len(chain), proxy.saboteur)
    proxy.manager._hooks.clear()
    proxy.saboteur.hook, proxy.saboteur.raises = hook, error
    try:
        yield
    finally:
        proxy.saboteur.hook = None


def ask(proxy: Sabotaged, origin: Origin, body: bytes = b"") -> bytes:
    """Everything that comes back for one request in absolute form."""
    rules = _rules(proxy, origin)
    token = proxy.lab().token(rules)
    authority = f"api.example.test:{origin.port}"
    head = f"POST https://{authority}/ HTTP/1.1\nHost: {authority}\nConnection: close\nContent-Length: {len(body)}"
    return everything(proxy, render(head, token) + body)


def _rules(proxy: Sabotaged, origin: Origin):
    rules = rule_set(rule(hosts=["api.example.test"], ports=[origin.port]))
    proxy.proxy.admitter.add_rule_sets({rules.digest(): rules})
    return rules


def test_unharmed_it_lets_pass(proxy: Sabotaged, origin: Origin) -> None:
    assert ask(proxy, origin).startswith(b"HTTP/1.1 200 OK\r\n")


ERRORS = [RuntimeError("x"), KeyError("x"), TimeoutError(), RecursionError(), MemoryError(), AssertionError()]


@pytest.mark.parametrize("hook", DECIDING)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(error=st.sampled_from(ERRORS), first=st.booleans(), body=st.sampled_from([b"", b"body"]))
def test_a_hook_that_raises_denies(
    proxy: Sabotaged, origin: Origin, hook: str, error: BaseException, first: bool, body: bytes
) -> None:
    if hook == "request" and body:
        return  # the body has left when this hook runs; what was decided before it stands
    origin.received.clear()
    before = proxy.manager.faults[hook]
    with sabotaged(proxy, hook, error, first=first):
        got = ask(proxy, origin, body)
    assert b"200 OK" not in got
    assert b"out" not in got
    assert origin.received == []
    assert proxy.manager.faults[hook] > before
    assert ask(proxy, origin).startswith(b"HTTP/1.1 200 OK\r\n")


ALL_ERRORS = [
    *ERRORS,
    HangError(),
    KeyboardInterrupt(),
    SystemExit(1),
    GeneratorExit(),
    asyncio.CancelledError(),
    StopIteration(),
    StopAsyncIteration(),
    exceptions.AddonHalt(),
]


@pytest.mark.parametrize("hook", EVERY_HOOK)
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(error=st.sampled_from(ALL_ERRORS), first=st.booleans(), way=st.sampled_from(["plain", "tunnel", "http2"]))
def test_whatever_a_hook_does_nothing_undecided_leaves_and_the_proxy_serves_on(
    proxy: Sabotaged, origin: Origin, hook: str, error: BaseException, first: bool, way: str
) -> None:
    """Every hook mitmproxy has, before and after the gate's, every way to fail, every way in."""
    origin.received.clear()
    before = proxy.manager.faults[hook]
    # A halt here is no fault, and stops a handshake only before the addon that makes its context has run.
    halts = hook == "tls_start_client" and isinstance(error, exceptions.AddonHalt) and way != "plain" and first
    with sabotaged(proxy, hook, error, first=first), quick(proxy):
        got = {"plain": ask, "tunnel": ask_in_tunnel, "http2": ask_over_http2}[way](proxy, origin)
    reached = proxy.manager.faults[hook] > before or halts
    if reached and hook not in SENT_BEFORE:
        assert origin.received == []
        assert b"out" not in got
    elif not reached:
        assert got.endswith(b"out")
    assert ask(proxy, origin).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("first", [True, False])
def test_a_halt_stops_a_handshake_that_has_no_context_yet(proxy: Sabotaged, origin: Origin, first: bool) -> None:
    origin.received.clear()
    before = proxy.manager.faults["tls_start_client"]
    with sabotaged(proxy, "tls_start_client", exceptions.AddonHalt(), first=first):
        got = ask_in_tunnel(proxy, origin)
    assert got.endswith(b"out") is not first
    assert len(origin.received) == (0 if first else 1)
    assert proxy.manager.faults["tls_start_client"] == before


@contextmanager
def quick(proxy: Sabotaged) -> Iterator[None]:
    proxy.manager.hook_timeout_s = 0.05
    try:
        yield
    finally:
        proxy.manager.hook_timeout_s = 10.0


def ask_in_tunnel(proxy: Sabotaged, origin: Origin) -> bytes:
    """Everything that comes back for one request in a tunnel."""
    client, authority = proxy.lab(), f"api.example.test:{origin.port}"
    got = b""
    try:
        inner = client.secure(client.tunnel(authority, client.token(_rules(proxy, origin))), "api.example.test")
        inner.send(render(f"GET / HTTP/1.1\nHost: {authority}\nConnection: close"))
        while part := inner.socket.recv(65536):
            got += part
    except (AssertionError, EOFError, OSError):
        pass
    finally:
        client.close()
    return got


def ask_over_http2(proxy: Sabotaged, origin: Origin) -> bytes:
    """The body of what comes back for one request over HTTP/2 in a tunnel."""
    client = proxy.lab()
    try:
        return http2.request(client, f"api.example.test:{origin.port}", client.token(_rules(proxy, origin))).body
    except (AssertionError, EOFError, OSError):
        return b""
    finally:
        client.close()


def test_a_request_that_a_hook_leaves_undecided_is_refused_and_counted(
    proxy: Sabotaged, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin.received.clear()
    before = proxy.manager.faults["requestheaders"]
    monkeypatch.setattr(proxy.proxy.gate, "requestheaders", lambda _: None)
    proxy.manager._hooks.clear()
    got = ask(proxy, origin)
    proxy.manager._hooks.clear()
    assert b"200 OK" not in got
    assert origin.received == []
    assert proxy.manager.faults["requestheaders"] == before + 1


@pytest.mark.parametrize("hook", ON_THE_WAY_BACK)
@pytest.mark.parametrize("first", [True, False])
def test_a_hook_that_raises_on_the_way_back_closes(proxy: Sabotaged, origin: Origin, hook: str, first: bool) -> None:
    with sabotaged(proxy, hook, RuntimeError("x"), first=first):
        got = ask(proxy, origin)
    complete = got.startswith(b"HTTP/1.1 200 OK\r\n") and got.endswith(b"out")
    assert not complete or hook == "response"  # there the streamed body was passed on already
    assert proxy.manager.faults[hook] > 0


@pytest.mark.parametrize("hook", TUNNEL)
def test_a_hook_that_raises_for_a_tunnel_closes_it(proxy: Sabotaged, origin: Origin, hook: str) -> None:
    origin.received.clear()
    client = proxy.lab()
    token = client.token(_rules(proxy, origin))
    authority = f"api.example.test:{origin.port}"
    with sabotaged(proxy, hook, RuntimeError("x"), first=True):
        try:
            inner = client.secure(client.tunnel(authority, token), "api.example.test")
            inner.send(render(f"GET / HTTP/1.1\nHost: {authority}"))
            assert inner.eof()
        except (AssertionError, EOFError, OSError):
            pass
        finally:
            client.close()
    assert origin.received == []
    assert proxy.manager.faults[hook] > 0


def test_faults_are_recorded_by_kind_only(tmp_path: Path) -> None:
    made = Sabotaged(tmp_path)
    made.saboteur.hook, made.saboteur.raises = "requestheaders", ValueError("a secret, perhaps")
    head = "GET http://api.example.test/ HTTP/1.1\nHost: api.example.test"
    assert b"403 Forbidden" in everything(made, render(head, made.lab().token(RULES)))
    made.close()
    fault, refusal = sorted(events_in(tmp_path / "egress.jsonl"), key=lambda record: record["event"], reverse=True)
    assert (fault["event"], fault["hook"], fault["error"]) == ("fault", "requestheaders", "ValueError")
    assert refusal["code"] == "closed"
    assert "perhaps" not in (tmp_path / "egress.jsonl").read_text()


def test_a_layer_that_raises_closes_the_connection(
    proxy: Sabotaged, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: Any) -> Any:
        raise RuntimeError("in a layer")

    monkeypatch.setattr(http1, "_head_fault", crash)
    wire = Wire(socket.create_connection(("127.0.0.1", proxy.port), timeout=15))
    wire.send(b"GET http://api.example.test/ HTTP/1.1\r\n\r\n")
    assert wire.eof()
    wire.close()
    assert "in a layer" in caplog.text


def test_the_loop_connects_nowhere_without_a_decision() -> None:
    async def attempt() -> None:
        await asyncio.open_connection("127.0.0.1", 9)

    with (
        asyncio.Runner(loop_factory=GuardedLoop) as runner,
        pytest.raises(AddressRefusedError, match="nothing was decided"),
    ):
        runner.run(attempt())


def test_a_name_with_a_private_address_among_its_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first answer is public and the second private; or the other way round: none is used."""
    public, private = ("93.184.215.14", 80), ("10.0.0.1", 80)
    asked: list[str] = []

    async def attempt() -> None:
        DIAL.set(Dial(Allowance(), ()))
        await asyncio.open_connection("rebind.example.test", 80)

    for answers in ([public, private], [private, public]):
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in answers]

        def resolve(host: str, *_: Any, found: list[Any] = found, **__: Any) -> list[Any]:
            asked.append(host)
            return found

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with (
            asyncio.Runner(loop_factory=GuardedLoop) as runner,
            pytest.raises(AddressRefusedError, match=r"10\.0\.0\.1"),
        ):
            runner.run(attempt())
    assert asked == ["rebind.example.test"] * 2


def test_destinations_differ_by_what_their_rules_allow() -> None:
    wide = Destination.of("a.com", 443, Allowance((ipaddress.ip_network("10.0.0.0/8"),)))
    narrow = Destination.of("a.com", 443, Allowance())
    assert wide != narrow
    assert narrow == Destination.of("a.com", 443, Allowance())
    assert narrow != ("a.com", 443)
    assert len({wide, narrow, Destination.of("a.com", 443, Allowance())}) == 2
