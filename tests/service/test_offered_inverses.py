"""What programs did with functions of their client is undone by other functions of it, while it is there."""

import itertools
from typing import Any

import pytest

from runtime.client import Client, Inverse, Offer
from runtime.execution.hostcall import CallContext
from runtime.portal.offered_inverse import OfferedInverse
from runtime.portal.offers import OfferedFunction, Offers
from runtime.rpc import runtime_pb2 as pb
from tests.portal.parts import context
from tests.service.programs import CONTEXT, request

FAILING = {
    "javascript": """
        await codemode.caller.bookRoom({guest: 'ada'});
        await codemode.caller.write_to({guest: 'ada'});
        await codemode.caller.bookRoom.response({guest: 'bob'});
        throw new Error('no third room');
    """,
    "python": """
await codemode.caller.bookRoom(guest='ada')
await codemode.caller.write_to(guest='ada')
await codemode.caller.bookRoom.response(guest='bob')
raise ValueError('no third room')
    """,
}
UNDONE = [(3, "caller.cancel", "undone"), (2, "", "not undoable"), (1, "caller.cancel", "undone")]
GONE = [(3, "", "unavailable"), (2, "", "unavailable"), (1, "", "unavailable")]


class Hotel:
    """Functions to offer, one with an inverse that is offered later, and rooms."""

    def __init__(self) -> None:
        self.rooms: dict[int, str] = {}
        self.cancelled: list[tuple[int, str]] = []
        self._numbers = itertools.count(1)
        self.offer = Offer()
        inverse = Inverse("cancel", {"number": "/result/number", "guest": "/arguments/guest"})
        self.offer.function(self.book, name="book-room", inverse=inverse)
        self.offer.function(self.write_to)
        self.offer.function(self.cancel)

    async def book(self, guest: str) -> dict[str, int]:
        number = next(self._numbers)
        self.rooms[number] = guest
        return {"number": number}

    async def write_to(self, guest: str) -> None:
        assert guest

    async def cancel(self, number: int, guest: str) -> None:
        assert self.rooms.pop(number) == guest
        self.cancelled.append((number, guest))


def steps(execution: pb.Execution) -> list[tuple[int, str, str]]:
    assert execution.status == pb.STATUS_PROGRAM_ERROR, execution
    return [(step.call_number, step.tool, step.outcome) for step in execution.rollback]


def failing(language: Any, **options: Any) -> pb.ExecuteRequest:
    asking = request(FAILING[language], language)
    for name, value in options.items():
        setattr(asking, name, value)
    return asking


@pytest.mark.parametrize("language", FAILING)
async def test_undone_by_the_client_in_reverse_order(client: Client, language: str) -> None:
    hotel = Hotel()
    async with client.session(hotel.offer) as session:
        done = await session.run(failing(language, on_failure=pb.ON_FAILURE_ROLLBACK))
    assert steps(done) == UNDONE
    assert hotel.cancelled == [(2, "bob"), (1, "ada")]
    undoing = await client.execution(done.rollback[0].execution_id)
    assert [call.target for call in undoing.host_calls] == ["caller.cancel", "caller.cancel"]
    # What undid it is known when the client is not there any more.
    again = await client.execution(done.id)
    assert [step for step in steps(again) if step[2] == "undone"] == [UNDONE[0], UNDONE[2]]


async def test_offered_while_the_client_is_there_and_unavailable_afterwards(client: Client) -> None:
    hotel = Hotel()
    async with client.session(hotel.offer) as session:
        done = await session.run(failing("javascript"))
        assert [outcome for _, _, outcome in steps(done)] == ["offered", "not undoable", "offered"]
    gone = await client.rollback(done.id, CONTEXT)
    assert steps(gone) == GONE
    assert "the client that offered functions is gone" in gone.rollback[0].reason
    assert (hotel.cancelled, gone.rollback[0].execution_id) == ([], "")


async def test_undone_when_asked_for_and_once(client: Client) -> None:
    hotel = Hotel()
    async with client.session(hotel.offer) as session:
        done = await session.run(failing("python"))
        for _ in range(2):
            assert steps(await client.rollback(done.id, CONTEXT)) == UNDONE
    assert hotel.cancelled == [(2, "bob"), (1, "ada")]


async def test_an_inverse_that_fails_is_told_and_the_others_go_on(client: Client) -> None:
    hotel = Hotel()
    async with client.session(hotel.offer) as session:
        done = await session.run(failing("javascript"))
        del hotel.rooms[2]
        told = await client.rollback(done.id, CONTEXT)
    assert [outcome for _, _, outcome in steps(told)] == ["upstream_error", "not undoable", "undone"]
    assert "KeyError" in told.rollback[0].reason


def test_what_an_approver_is_shown_has_the_inverse() -> None:
    book = OfferedFunction(name="book", inverse=OfferedInverse(name="cancel", arguments={"number": "/result"}))
    offer = Offers().open("caller", [book, OfferedFunction(name="cancel")], lambda _: None, "ada")
    asked: CallContext = context()
    shown = [offer.preview(offer.catalog.tools[name], {}, asked).inverse for name in ("caller.book", "caller.cancel")]
    assert shown[0] is not None
    assert (shown[0].tool, shown[0].arguments, shown[1]) == ("caller.cancel", {"number": "/result"}, None)
