"""Runtime.Session: programs call functions of the client that sends them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from runtime.client import (
    Client,
    FunctionFailedError,
    Offer,
    SessionLostError,
    SessionRefusedError,
    SyncClient,
)
from runtime.execution.hostcall import HostCallError
from runtime.portal.offers import MAX_FUNCTIONS, MAX_SCHEMA_BYTES, FunctionCall, OfferedFunction, Offers
from runtime.rpc import runtime_pb2 as pb
from runtime.rpc import runtime_pb2_grpc
from runtime.service.errors import ApiError
from runtime.service.portal_servicer import PortalServicer
from runtime.service.session import MOST_SESSIONS_EACH, MOST_UNREAD_BYTES, Sessions
from tests.cell import TestCell
from tests.portal.parts import context
from tests.service.programs import request

JS, PY = "javascript", "python"
BOTH = pytest.mark.parametrize("language", [JS, PY])


def value(execution: pb.Execution) -> Any:
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    return json.loads(execution.result_json)


class Caller:
    """Functions to offer, and what became of them."""

    def __init__(self) -> None:
        self.offer = Offer()
        self.offer.function(self.weather, read_only=True)
        self.offer.function(self.both_at_once)
        self.offer.function(self.fail)
        self.offer.function(self.wait)
        self.offer.function(self.forbidden)
        self.offer.function(self.large)
        self.offer.function(self.weather_plain, name="weather-plain", read_only=True)
        self.together = asyncio.Barrier(2)
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.asked: list[str] = []

    async def weather(self, city: str, days: int = 1) -> dict[str, int]:
        """The weather of a city for some days."""
        self.asked.append(city)
        return {city: days}

    def weather_plain(self, city: str) -> str:
        """As weather, without an event loop."""
        return city.upper()

    async def both_at_once(self, number: int) -> int:
        async with self.together:
            return number * 2

    async def fail(self, how: str) -> None:
        if how == "busy":
            raise FunctionFailedError("come back later", retryable=True, retry_after_s=7, details={"queue": 3})
        raise ValueError("no " + how)

    async def wait(self) -> None:
        self.waiting.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    async def forbidden(self) -> None:
        self.asked.append("forbidden")

    async def large(self, size: int) -> str:
        return "x" * size


@pytest.fixture
async def caller() -> Caller:
    return Caller()


@BOTH
async def test_a_program_calls_a_function_of_its_client(client: Client, caller: Caller, language):
    code = {
        JS: "await codemode.caller.weather({city: 'Bern', days: 2})",
        PY: "await codemode.caller.weather(city='Bern', days=2)",
    }[language]
    lines: list[pb.LogLine] = []
    async with client.session(caller.offer) as session:
        assert session.names[0] == "caller.weather"
        assert session.names[-1] == "caller.weatherPlain"
        execution = await session.run(
            request(f"{'console.log' if language == JS else 'print'}('hi'); {code}", language), lines.append
        )
    assert value(execution) == {"Bern": 2}
    (call,) = execution.host_calls
    assert (call.target, call.outcome, call.read_only) == ("caller.weather", "ok", True)
    assert [line.text for line in lines] == ["hi"]


@BOTH
async def test_calls_are_under_way_together_and_answered_in_any_order(client: Client, caller: Caller, language):
    code = {
        JS: "await Promise.all([1, 2].map((number) => codemode.caller.both_at_once({number})))",
        PY: "import asyncio\nawait asyncio.gather(*[codemode.caller.both_at_once(number=n) for n in (1, 2)])",
    }[language]
    async with client.session(caller.offer) as session:
        assert value(await session.run(request(code, language))) == [2, 4]


FAILURES = {
    "raised": ("fail", {"how": "way"}, "upstream_error", "ValueError: no way", False, None),
    "busy": ("fail", {"how": "busy"}, "upstream_error", "come back later", True, 7),
    "wrong type": ("weather", {"city": 5}, "invalid_argument", "city: expected", False, None),
    "misspelt": ("weather", {"town": "Bern"}, "invalid_argument", "town: is not an argument", False, None),
    "unknown": ("wether", {}, "not_found", "the nearest are caller.weather", False, None),
    "denied": ("forbidden", {}, "denied", "tools.deny: caller.forbidden", False, None),
    "too large": ("large", {"size": 70_000}, "limit", "response_bytes 65536", False, None),
}


@BOTH
@pytest.mark.parametrize(("name", "arguments", "code", "text", "again", "after"), FAILURES.values(), ids=FAILURES)
async def test_a_failed_call_is_an_error_the_program_can_catch(
    client: Client, caller: Caller, language, name, arguments, code, text, again, after
):
    program = {
        JS: f"""let kept = [];
            try {{ await codemode.caller.{name}(inputs) }}
            catch (e) {{ kept = [e.name, e.code, e.message, e.retryable, e.retry_after ?? null] }}
            kept""",
        PY: f"kept = []\ntry:\n  await codemode.caller.{name}(**inputs)\nexcept ToolError as e:\n"
        "  kept = [type(e).__name__, e.code, str(e), e.retryable, e.retry_after]\nkept",
    }[language]
    async with client.session(caller.offer) as session:
        kept = value(await session.run(request(program, language, inputs=arguments)))
    assert kept[:2] == ["ToolError", code]
    assert text in kept[2]
    assert kept[3:] == [again, after]
    assert caller.asked == []


@BOTH
async def test_search_and_describe_within_the_session_see_the_functions(client: Client, caller: Caller, language):
    code = {
        JS: """[(await codemode.search('weather of a city', {limit: 3})).tools.map((tool) => tool.name),
            await codemode.describe('caller.weather'),
            (await codemode.tools()).filter((tool) => tool.upstream === 'caller').length]""",
        PY: """[[tool['name'] for tool in (await codemode.search('weather of a city', limit=3))['tools']],
            await codemode.describe('caller.weather'),
            len([tool for tool in await codemode.tools() if tool['upstream'] == 'caller'])]""",
    }[language]
    async with client.session(caller.offer) as session:
        found, described, count = value(await session.run(request(code, language)))
        outside = value(
            await client.execute(request("(await codemode.tools()).filter((t) => t.upstream === 'caller')"))
        )
    assert found[0] == "caller.weather"
    assert "city: str" in described
    assert count == len(session.names) == 7
    assert outside == []


async def test_the_portal_finds_the_functions_of_a_session_by_its_id(client: Client, caller: Caller):
    async with client.session(caller.offer) as session:
        found = await client.search("weather of a city", limit=3, session_id=session.id)
        assert found.tools[0].name == "caller.weather"
        assert len(found.tools) <= 3
        reads = await client.search("", limit=50, read_only=True, session_id=session.id)
        own = [tool.name for tool in reads.tools if tool.upstream == "caller"]
        assert sorted(own) == ["caller.weather", "caller.weatherPlain"]
        described = await client.describe(["caller.weather"], "python", session_id=session.id)
        assert "city: str" in described.declarations
        assert not [tool for tool in (await client.search("weather")).tools if tool.upstream == "caller"]
        for guess in ("ses_" + "0" * 32, session.id[:-1]):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await client.search("weather", session_id=guess)
            assert error.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_function_without_a_schema_takes_anything():
    offer = Offers().open("caller", [OfferedFunction(name="f")], lambda _: None, "ada")
    shown = offer.preview(offer.catalog.tools["caller.f"], {"any": {"thing": 1}}, context())
    assert json.loads(shown.request.body) == {"any": {"thing": 1}}


def test_another_principals_session_is_not_found():
    offers = Offers()
    offer = offers.open("caller", [OfferedFunction(name="f")], lambda _: None, "ada")
    servicer = PortalServicer(None, offers)
    assert servicer._offer(offer.id, "ada") is offer
    with pytest.raises(ApiError) as error:
        servicer._offer(offer.id, "bob")
    assert error.value.reason == "NO_SUCH_SESSION"


async def test_a_client_that_does_not_read_bounds_its_own_calls():
    sessions = Sessions()
    call = FunctionCall(call_id=1, name="f", arguments="x" * (MOST_UNREAD_BYTES // 2), execution_id="e", timeout_s=1)
    async with sessions.open(saying(HELLO), "ada", NoRunner()) as session:
        session.tell(call)
        session.tell(call)
        with pytest.raises(HostCallError, match="the client has not read"):
            session.tell(call)
        session.tell(1)
        events = session.events()
        read = [(await anext(events)).WhichOneof("event") for _ in range(2)]
        assert read == ["opened", "call"]
        session.tell(call)
        await events.aclose()


async def test_a_chosen_upstream_name(client: Client):
    offer = Offer("mine")

    @offer.function
    def double(number: int) -> int:
        return 2 * number

    async with client.session(offer) as session:
        assert value(await session.run(request("await codemode.mine.double({number: 4})"))) == 8


async def test_cancelling_a_program_cancels_the_call_it_waits_for(client: Client, caller: Caller):
    async with client.session(caller.offer) as session:
        running = asyncio.create_task(session.run(request("await codemode.caller.wait({})")))
        await caller.waiting.wait()
        running.cancel()
        await caller.cancelled.wait()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert value(await session.run(request("40 + 2"))) == 42


async def test_a_limit_cancels_the_call_the_program_waits_for(client: Client, caller: Caller):
    async with client.session(caller.offer) as session:
        execution = await session.run(request("await codemode.caller.wait({})", limits={"wall_ms": 300}))
        assert execution.status == pb.STATUS_LIMIT_WALL
        await caller.cancelled.wait()


async def test_many_programs_of_one_session_run_at_once(client: Client, caller: Caller):
    async with client.session(caller.offer) as session:
        done = await asyncio.gather(
            *(session.run(request(f"await codemode.caller.weather({{city: 'c{n}'}})")) for n in range(20))
        )
    assert [value(execution) for execution in done] == [{f"c{n}": 1} for n in range(20)]


async def test_a_refused_program_leaves_the_session_open(client: Client, caller: Caller):
    async with client.session(caller.offer) as session:
        with pytest.raises(SessionRefusedError, match="there is no profile"):
            await session.run(request("1", profile="nope"))
        assert value(await session.run(request("1"))) == 1


def test_the_synchronous_client(cell: TestCell):
    offer = Offer()
    lines: list[str] = []

    @offer.function(read_only=True)
    def double(number: int) -> int:
        return 2 * number

    with SyncClient(cell.address, cell.token) as client:
        assert (
            value(client.run(request("console.log('a'); console.log('b'); 1"), lambda line: lines.append(line.text)))
            == 1
        )
        with client.session(offer) as session:
            assert value(session.run(request("await codemode.caller.double({number: 4})"))) == 8
    assert lines == ["a", "b"]


# The stream itself, as generated stubs see it.


class Wire:
    """One raw stream."""

    def __init__(self, cell: TestCell, token: str) -> None:
        self._channel = grpc.aio.insecure_channel(cell.address)
        stub: runtime_pb2_grpc.RuntimeAsyncStub = runtime_pb2_grpc.RuntimeStub(self._channel)
        self.stub = stub
        self.call = stub.Session(metadata=(("authorization", f"Bearer {token}"),))

    async def send(self, **message: Any) -> None:
        await self.call.write(pb.SessionRequest(**message))

    async def read(self, kind: str = "") -> Any:
        """The next event, or the next of one kind."""
        for _ in range(100):
            event = await self.call.read()
            assert event is not grpc.aio.EOF
            if kind in {"", event.WhichOneof("event")}:
                return getattr(event, kind) if kind else event
        raise AssertionError(f"no {kind}")

    async def finished(self) -> pb.Execution:
        for _ in range(100):
            event = (await self.read("execution")).event
            if event.HasField("finished"):
                return event.finished
        raise AssertionError("no end")

    async def close(self) -> None:
        self.call.cancel()
        await self._channel.close()


@pytest.fixture
async def wire(cell: TestCell) -> AsyncIterator[Wire]:
    wire = Wire(cell, cell.token)
    yield wire
    await wire.close()


def offered(*names: str, **more: str) -> pb.OfferFunctions:
    return pb.OfferFunctions(functions=[pb.Function(name=name, **more) for name in names])


def undone_by(name: str, *, read_only: bool = False, **arguments: str) -> pb.OfferFunctions:
    schema = {
        "type": "object",
        "properties": {"number": {"type": "integer"}},
        "required": ["number"],
        "additionalProperties": False,
    }
    inverse = pb.FunctionInverse(name=name, arguments=arguments)
    do = pb.Function(name="do", read_only=read_only, inverse=inverse)
    return pb.OfferFunctions(functions=[do, pb.Function(name="undo", input_schema_json=json.dumps(schema))])


BAD_OFFERS = {
    "no name": (offered(""), "a name has 1 to 128"),
    "twice": (offered("a", "a"), "two tools of this name"),
    "too many": (offered(*(f"f{n}" for n in range(MAX_FUNCTIONS + 1))), f"at most {MAX_FUNCTIONS}"),
    "large schema": (offered("a", input_schema_json=" " * (MAX_SCHEMA_BYTES + 1)), f"at most {MAX_SCHEMA_BYTES}"),
    "deep schema": (offered("a", input_schema_json='{"a":' * 300 + "1" + "}" * 300), "too deeply"),
    "no JSON": (offered("a", input_schema_json="{"), "is not JSON"),
    "no object": (offered("a", input_schema_json="[]"), "not one JSON object"),
    "not of an object": (offered("a", input_schema_json='{"type": "string"}'), "arguments are one object"),
    "an upstream's name": (pb.OfferFunctions(upstream="ledger"), "which is taken"),
    "the service's name": (pb.OfferFunctions(upstream="lockgate"), "which is taken"),
    "an inverse that is not offered": (undone_by("b"), '"b" is not offered'),
    "an inverse of a read": (undone_by("undo", read_only=True), "only reads"),
    "no pointer": (undone_by("undo", number="result/id"), "expected a JSON Pointer into /arguments or /result"),
    "a pointer elsewhere": (undone_by("undo", number="/resultant"), "expected a JSON Pointer"),
    "an argument too many": (undone_by("undo", number="/result", more="/result"), '"more" is not an argument of undo'),
    "an argument too few": (undone_by("undo"), 'undo needs "number"'),
    "too many arguments": (undone_by("undo", **{f"a{n}": "/result" for n in range(51)}), "at most 50"),
    "no identifier": (pb.OfferFunctions(upstream="__proto__"), "a letter first"),
}


@pytest.mark.parametrize(("offer", "said"), BAD_OFFERS.values(), ids=BAD_OFFERS)
async def test_a_bad_offer_is_refused(wire: Wire, offer: pb.OfferFunctions, said: str):
    await wire.send(offer=offer)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await wire.call.read()
    assert error.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert said in error.value.details()


BAD_MESSAGES = {
    "nothing": (pb.SessionRequest(), "is required"),
    "a second offer": (pb.SessionRequest(offer=offered("a")), "is sent once"),
    "an answer to no call": (pb.SessionRequest(answer=pb.FunctionAnswer(call_id=9, result_json="1")), "no such call"),
    "an answer of nothing": (pb.SessionRequest(answer=pb.FunctionAnswer(call_id=1)), "neither a result_json"),
    "a program without an id": (pb.SessionRequest(execute=pb.SessionExecute()), "1 to 128"),
}


@pytest.mark.parametrize(("message", "said"), BAD_MESSAGES.values(), ids=BAD_MESSAGES)
async def test_a_bad_message_ends_the_session(wire: Wire, message: pb.SessionRequest, said: str):
    await wire.send(offer=offered("a"))
    await wire.read("opened")
    await wire.call.write(message)
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await wire.call.read()
    assert said in error.value.details()


async def test_the_first_message_has_to_offer(wire: Wire):
    await wire.send(execute=pb.SessionExecute(id="a", request=request("1")))
    with pytest.raises(grpc.aio.AioRpcError, match="first message"):
        await wire.call.read()


async def test_a_session_needs_the_token(cell: TestCell):
    wire = Wire(cell, "no token")
    with pytest.raises((grpc.aio.AioRpcError, asyncio.InvalidStateError)):
        await wire.send(offer=offered("a"))
        await wire.call.read()
    assert await wire.call.code() is grpc.StatusCode.UNAUTHENTICATED
    await wire.close()


ANSWERS = {
    "no JSON": ("{", "the answer is not JSON"),
    "what only Python reads": ("[NaN]", "the answer is not JSON"),
    "deep": ("[" * 1_000 + "]" * 1_000, "nested more than"),
    "many values": (f"[{','.join(['1'] * 30_000)}]", 30_000),
    "nothing": ("", None),
    "a host's message": ('{"code": "denied", "message": "x"}', {"code": "denied", "message": "x"}),
}


@pytest.mark.parametrize(("answer", "wanted"), ANSWERS.values(), ids=ANSWERS)
async def test_what_an_answer_may_be(wire: Wire, answer: str, wanted: Any):
    await wire.send(offer=offered("f"))
    code = "let r; try { r = await codemode.caller.f({}) } catch (e) { r = e.message }; Array.isArray(r) ? r.length : r"
    await wire.send(execute=pb.SessionExecute(id="one", request=request(code)))
    call = await wire.read("call")
    assert (call.name, call.arguments_json, call.id) == ("f", "{}", "one")
    assert 0 < call.timeout_ms <= 10_000
    await wire.send(answer=pb.FunctionAnswer(call_id=call.call_id, result_json=answer))
    # A second answer to the same call is dropped.
    await wire.send(answer=pb.FunctionAnswer(call_id=call.call_id, result_json='"second"'))
    got = value(await wire.finished())
    assert wanted in got if isinstance(wanted, str) else got == wanted


async def test_a_client_that_says_no_more_is_told_the_end_and_gets_no_more_calls(wire: Wire):
    await wire.send(offer=offered("f"))
    code = "let r; try { await codemode.caller.f({}) } catch (e) { r = [e.code, e.retryable, e.message] }; r"
    await wire.send(execute=pb.SessionExecute(id="one", request=request(code)))
    await wire.read("call")
    await wire.call.done_writing()
    code, again, message = value(await wire.finished())
    assert (code, again) == ("unavailable", False)
    assert "the client that offers this function is gone" in message
    assert await wire.call.read() is grpc.aio.EOF


async def test_a_lost_stream_cancels_its_programs(cell: TestCell, client: Client, wire: Wire):
    await wire.send(offer=offered("f"))
    await wire.send(execute=pb.SessionExecute(id="one", request=request("await codemode.caller.f({})")))
    call = await wire.read("call")
    wire.call.cancel()
    stub = wire.stub
    metadata = (("authorization", f"Bearer {cell.token}"),)
    async with asyncio.timeout(10):
        while True:
            asked = pb.GetExecutionRequest(execution_id=call.execution_id)
            execution = (await stub.GetExecution(asked, metadata=metadata)).execution
            if execution.status != pb.STATUS_RUNNING:
                break
            await asyncio.sleep(0.01)
    assert execution.status == pb.STATUS_CANCELLED
    assert "the client went away" in execution.error.message
    assert execution.error.side_effects_possible


async def test_a_lost_stream_leaves_an_accepted_program_whose_calls_fail(cell: TestCell, client: Client, wire: Wire):
    await wire.send(offer=offered("f"))
    code = "let r; try { await codemode.caller.f({}) } catch (e) { r = e.code }; r"
    kept = request(code, idempotency_key="kept through the loss")
    await wire.send(execute=pb.SessionExecute(id="one", request=kept))
    await wire.read("call")
    wire.call.cancel()
    assert value(await client.execute(kept)) == "unavailable"


async def test_two_sessions_never_reach_each_other(client: Client, caller: Caller):
    other = Offer()

    @other.function
    def weather(city: str) -> str:
        return f"the other's {city}"

    @other.function
    def secret() -> str:
        return "secret"

    code = """let r; try { r = await codemode.caller.secret({}) } catch (e) { r = e.code };
        [r, await codemode.caller.weather({city: 'x'})]"""
    async with client.session(caller.offer) as one, client.session(other) as two:
        first, second = await asyncio.gather(one.run(request(code)), two.run(request(code)))
        outside = await client.execute(request("await codemode.caller.weather({city: 'x'})"))
    assert value(first) == ["not_found", {"x": 1}]
    assert value(second) == ["secret", "the other's x"]
    assert outside.status == pb.STATUS_PROGRAM_ERROR


async def test_the_client_opens_a_lost_session_again(client: Client, caller: Caller):
    async with client.session(caller.offer) as session:
        running = asyncio.create_task(session.run(request("await codemode.caller.wait({})")))
        await caller.waiting.wait()
        session._stream._call.cancel()  # as the network would
        with pytest.raises((SessionLostError, asyncio.CancelledError)):
            await running
        assert value(await session.run(request("await codemode.caller.weather({city: 'x'})"))) == {"x": 1}


def test_what_cannot_be_offered():
    offer = Offer()
    with pytest.raises(TypeError, match="positional-only"):
        offer.function(lambda *values: values, name="a")
    offer.function(lambda: 1, name="b")
    with pytest.raises(TypeError, match="offered twice"):
        offer.function(lambda: 1, name="b")


class NoRunner:
    """Where no program gets to."""

    async def begin_in(self, *_: Any) -> Any:
        raise AssertionError("no program was sent")

    def cancel_in(self, *_: Any) -> None:
        raise AssertionError("no program was sent")


async def saying(*messages: pb.SessionRequest) -> AsyncIterator[pb.SessionRequest]:
    """A client that says this, and then nothing."""
    for message in messages:
        yield message
    await asyncio.Event().wait()


HELLO = pb.SessionRequest(offer=pb.OfferFunctions())


@pytest.mark.parametrize("messages", [(), (HELLO,)], ids=["before the offer", "after it"])
async def test_an_idle_session_is_ended(messages: tuple[pb.SessionRequest, ...]):
    sessions = Sessions(idle_s=0.02)
    with pytest.raises(ApiError) as error:
        async with sessions.open(saying(*messages), "ada", NoRunner()) as session:
            assert [event.WhichOneof("event") async for event in session.events()] == ["opened"]
    assert error.value.reason == "SESSION_IDLE"


async def test_open_sessions_are_counted_for_each_principal():
    sessions = Sessions()
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(MOST_SESSIONS_EACH):
            await stack.enter_async_context(sessions.open(saying(HELLO), "ada", NoRunner()))
        with pytest.raises(ApiError) as error:
            await stack.enter_async_context(sessions.open(saying(HELLO), "ada", NoRunner()))
        assert error.value.reason == "TOO_MANY_SESSIONS"
        await stack.enter_async_context(sessions.open(saying(HELLO), "bob", NoRunner()))
    async with sessions.open(saying(HELLO), "ada", NoRunner()):
        pass
