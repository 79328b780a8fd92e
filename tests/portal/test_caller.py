"""Found, permitted: what comes before a call."""

import pytest

from runtime.execution.hostcall import HostCallError
from runtime.portal.caller import ToolCaller
from runtime.portal.catalog import Catalog
from runtime.portal.schema import Shape
from runtime.portal.tool import Tool
from runtime.portal.upstream_state import Backoff, UpstreamState, reason_of
from tests.portal.parts import caller_of, context, upstreams


def plain(upstream: str, name: str, original: str = "") -> Tool:
    shape = Shape(schema={"type": "object"}, root={})
    return Tool(
        upstream=upstream, name=name, original=original or name, summary=name, description="", input=shape, output=None,
        read_only=True,
    )  # fmt: skip


@pytest.fixture
def caller() -> ToolCaller:
    running = upstreams({})
    running.catalog = Catalog().with_upstream("notes", [plain("notes", "add_note"), plain("notes", "list_notes")])
    running.states["notes"] = UpstreamState(phase="ready")
    running.states["later"] = UpstreamState(phase="down", reason="no answer")
    return caller_of(running)


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("notes.add_nots", "not_found", 'there is no tool "notes.add_nots"; the nearest are notes.add_note, notes.'),
        ("note.add_note", "not_found", 'there is no upstream "note"; the nearest are notes.add_note'),
        ("x", "not_found", 'there is no upstream "x"; the upstreams are later, notes'),
        ("", "not_found", 'there is no upstream ""'),
        ("later.anything", "unavailable", "upstream later is down: no answer"),
        ("notes." + "x" * 10_000, "not_found", 'there is no tool "notes.xxx'),
    ],
)  # fmt: skip
async def test_unknown(caller: ToolCaller, name: str, code: str, said: str) -> None:
    with pytest.raises(HostCallError) as error:
        await caller.call(name, {}, context())
    assert error.value.code == code
    assert error.value.message.startswith(said)
    assert len(error.value.message) < 600


@pytest.mark.parametrize(
    ("allow", "deny", "reason"),
    [
        ((), (), "no pattern of tools.allow matches notes.add_note"),
        (("other.*",), (), "no pattern of tools.allow matches notes.add_note"),
        (("*.*",), ("notes.add*",), "notes.add_note is denied by tools.deny: notes.add*"),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".response"])
async def test_not_permitted(
    caller: ToolCaller, suffix: str, allow: tuple[str, ...], deny: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(HostCallError) as error:
        await caller.call(f"notes.add_note{suffix}", {}, context(allow=allow, deny=deny))
    assert (error.value.code, error.value.message) == ("denied", reason)


@pytest.mark.parametrize(
    "name", ["notes.add_note.response.response", "notes.nothing.response", "x" + ".response" * 99_999]
)
async def test_the_response_of_nothing_is_not_found(caller: ToolCaller, name: str) -> None:
    with pytest.raises(HostCallError) as error:
        await caller.call(name, {}, context())
    assert error.value.code == "not_found"


def test_a_catalog_is_replaced_and_never_changed() -> None:
    first = Catalog().with_upstream("a", [plain("a", "x")])
    second = first.with_upstream("a", [plain("a", "y")]).with_upstream("b", [plain("b", "z", "the/z")])
    assert list(first.tools) == ["a.x"]
    assert list(second.tools) == ["a.y", "b.z"]
    assert second.generation > first.generation
    assert second.find_original("b.the/z") is second.find("b.z")
    assert list(second.without_upstream("a").tools) == ["b.z"]
    with pytest.raises(ValueError, match="two tools of one name"):
        first.with_upstream("a", [plain("a", "x"), plain("a", "x")])


def test_waits_grow_and_are_bounded() -> None:
    backoff = Backoff(first_s=1, most_s=10)
    assert [backoff.wait_s(n) for n in (0, 1, 2, 3, 4, 5, 10_000)] == [1, 1, 2, 4, 8, 10, 10]


def test_reasons_are_those_of_the_innermost_cause() -> None:
    assert reason_of(ExceptionGroup("g", [ExceptionGroup("h", [ValueError("why\nindeed")])])) == "why indeed"
    assert reason_of(TimeoutError()) == "no answer in time"
    assert reason_of(FileNotFoundError(2, "x", "prog")) == "there is no prog"
    assert len(reason_of(ValueError("x" * 10_000))) <= 400
