"""codemode: tool calls, their arguments, their errors, their order."""
# ruff: noqa: E501 programs stay on one line

import pytest

from tests.images.conftest import RunJavaScript
from tests.images.javascript_host import FINISHED, TOOL, WAITS_FOR_CALLS, Answer, Call, failure


def echo(call: Call) -> Answer:
    return Answer({"name": call.name, **call.payload})


def test_call(run: RunJavaScript) -> None:
    guest = run("await codemode.files.read({ path: '/a', deep: [1, null] })", answer=echo)
    assert guest.calls == [Call(1, TOOL, "files.read", {"path": "/a", "deep": [1, None]})]
    assert guest.value == {"name": "files.read", "path": "/a", "deep": [1, None]}


def test_calls_without_arguments_send_an_empty_object(run: RunJavaScript) -> None:
    guest = run("await Promise.all([codemode.a.b(), codemode.a.b(undefined), codemode.a.b({})])", answer=echo)
    assert [call.payload for call in guest.calls] == [{}, {}, {}]


ODD_NAMES = [
    "then",
    "constructor",
    "__proto__",
    "toString",
    "toJSON",
    "valueOf",
    "apply",
    "hasOwnProperty",
    "a b",
    "ü",
    "0",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_name_is_a_tool(run: RunJavaScript, name: str) -> None:
    guest = run(f"await codemode.up[{name!r}]({{ q: 1 }})", answer=echo)
    assert guest.calls == [Call(1, TOOL, f"up.{name}", {"q": 1})]


@pytest.mark.parametrize("name", [name for name in ODD_NAMES if name != "then"])
def test_any_name_is_an_upstream(run: RunJavaScript, name: str) -> None:
    guest = run(f"await codemode[{name!r}].tool()", answer=echo)
    assert guest.calls[0].name == f"{name}.tool"


def test_codemode_is_no_promise(run: RunJavaScript) -> None:
    assert run(
        "const c = await codemode; const d = await (async () => codemode)(); [c === codemode, d === codemode]"
    ).value == [True, True]


def test_awaiting_an_upstream_fails_rather_than_waits(run: RunJavaScript) -> None:
    guest = run("await codemode.files")
    assert "codemode.files is a group of tools" in guest.error["message"]
    assert guest.calls == []


def test_proxies_are_kept(run: RunJavaScript) -> None:
    assert run("[codemode.a === codemode.a, codemode.a.b === codemode.a.b, codemode.a.b.name]").value == [
        True,
        True,
        "a.b",
    ]


def test_printing_a_proxy_calls_nothing(run: RunJavaScript) -> None:
    guest = run("console.log(codemode, codemode.a, codemode.a.b); `${codemode} ${codemode.a}` + String(codemode.a)")
    assert guest.value == "[object codemode] [object codemode.a][object codemode.a]"
    assert guest.calls == []


def test_calling_an_upstream_says_what_to_do(run: RunJavaScript) -> None:
    assert "await codemode.files.tool(" in run("codemode.files({ a: 1 })").error["message"]
    assert "await codemode.upstream.tool(" in run("codemode('x')").error["message"]


@pytest.mark.parametrize("change", ["codemode.a = 1", "delete codemode.a", "Object.setPrototypeOf(codemode.a, null)"])
def test_codemode_cannot_be_changed(run: RunJavaScript, change: str) -> None:
    assert "cannot be changed" in run(f"'use strict'; {change}").error["message"]


BAD_ARGUMENTS = {
    "string": "'a'",
    "number": "1",
    "array": "[]",
    "null": "null",
    "two": "{}, {}",
    "function": "() => 1",
    "toJSON to a string": "{ toJSON() { return 'x' } }",
}


@pytest.mark.parametrize("arguments", BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS.keys())
def test_bad_arguments(run: RunJavaScript, arguments: str) -> None:
    guest = run(f"try {{ await codemode.a.b({arguments}) }} catch (e) {{ [e instanceof TypeError, e.message] }}")
    is_type_error, message = guest.value
    assert is_type_error
    assert message.startswith("codemode.a.b takes ")
    assert guest.calls == []


def test_arguments_above_their_limit_are_refused_at_once(run: RunJavaScript) -> None:
    program = "try { await codemode.a.b({ s: 'x'.repeat(1000) }) } catch (e) { [e.name, e.code, e.tool, e.retryable, e.message] }"
    guest = run(program, call_bytes=100)
    assert guest.value[:4] == ["ToolError", "limit", "a.b", False]
    assert "the limit is 100" in guest.value[4]
    assert guest.calls == []
    assert run("await codemode.a.b({ s: 'x'.repeat(1000) })", call_bytes=100).error["limit"] == "call_bytes"


def test_error_of_a_call_can_be_caught(run: RunJavaScript) -> None:
    program = """
        const kept = await codemode.a.one();
        try { await codemode.a.two() } catch (e) {
            return [kept, e instanceof ToolError, e instanceof Error, e.name, e.code, e.status, e.message, e.retryable, e.tool, e.details]
        }"""
    broken = failure(
        "upstream_error", "503 from upstream", status=503, retryable=True, tool="a.two", details={"body": "x"}
    )
    guest = run(program, answer=lambda call: broken if call.id == 2 else Answer(1))
    assert guest.value == [
        1,
        True,
        True,
        "ToolError",
        "upstream_error",
        503,
        "503 from upstream",
        True,
        "a.two",
        {"body": "x"},
    ]


def test_uncaught_error_of_a_call_says_where_and_which(run: RunJavaScript) -> None:
    guest = run(
        "const a = 1;\nconst load = async () => {\n  await codemode.a.b();\n};\nawait load();",
        answer=lambda _: failure("not_found", "no such tool", tool="a.b"),
    )
    error = guest.error
    assert (error["name"], error["message"], error["line"], error["source_line"]) == (
        "ToolError",
        "no such tool",
        3,
        "  await codemode.a.b();",
    )
    assert error["call"] == {
        "code": "not_found",
        "message": "no such tool",
        "status": None,
        "retryable": False,
        "tool": "a.b",
        "details": None,
    }


def test_errors_survive_json(run: RunJavaScript) -> None:
    guest = run(
        "Promise.allSettled([codemode.a.b(), codemode.a.c()])",
        answer=lambda call: failure("denied", "not allowed", tool="a.b") if call.id == 1 else Answer(2),
    )
    assert guest.value == [
        {
            "status": "rejected",
            "reason": {
                "name": "ToolError",
                "message": "not allowed",
                "code": "denied",
                "status": None,
                "retryable": False,
                "tool": "a.b",
                "details": None,
            },
        },
        {"status": "fulfilled", "value": 2},
    ]


def test_calls_run_side_by_side_and_settle_in_order_of_arrival(start: RunJavaScript) -> None:
    guest = start("""
        const order = [];
        const call = async (n) => { order.push(`start ${n}`); await codemode.a.b({ n }); order.push(`end ${n}`) };
        await Promise.all([call(1), call(2), call(3)]);
        order""")
    assert guest.wait == WAITS_FOR_CALLS
    assert len(guest.calls) == 3
    for call_id in (3, 1, 2):
        guest.resume(call_id, Answer(None))
    assert guest.wait == FINISHED
    assert guest.value == ["start 1", "start 2", "start 3", "end 3", "end 1", "end 2"]


def test_race_ends_with_the_first(start: RunJavaScript) -> None:
    guest = start("await Promise.race([codemode.a.slow(), codemode.a.fast()])")
    assert guest.resume(2, Answer("fast")) == FINISHED
    assert guest.value == "fast"
    assert guest.resume(1, Answer("slow")) == FINISHED
    assert len(guest.outcomes) == 1


def test_results_of_calls_never_made_or_answered_twice_are_ignored(start: RunJavaScript) -> None:
    guest = start("[await codemode.a.b(), await codemode.a.c()]")
    assert guest.resume(99, Answer("who?")) == WAITS_FOR_CALLS
    assert guest.resume(1, Answer(1)) == WAITS_FOR_CALLS
    assert guest.resume(1, Answer("again")) == WAITS_FOR_CALLS
    assert guest.resume(2, Answer(2)) == FINISHED
    assert guest.value == [1, 2]


def test_a_result_that_is_no_json_rejects_its_call_only(start: RunJavaScript) -> None:
    guest = start("let first; try { await codemode.a.b() } catch (e) { first = e.name } [first, await codemode.a.c()]")
    guest._enter("resume", b"\1\0\0\0\1{broken")
    guest.resume(2, Answer(2))
    assert guest.value == ["SyntaxError", 2]


def test_calls_that_nobody_awaits_are_made_and_their_failures_logged(run: RunJavaScript) -> None:
    guest = run("codemode.a.b(); codemode.a.c('bad'); 5")
    assert guest.value == 5
    assert [call.name for call in guest.calls] == ["a.b"]
    assert len(guest.logs) == 1
    assert guest.logs[0][0] == 3
    assert "codemode.a.c takes one object" in guest.logs[0][1]


def test_lone_surrogates_in_arguments(run: RunJavaScript) -> None:
    guest = run(r"await codemode.a.b({ s: '\ud800', ['\udc00k']: 1 })", answer=echo)
    assert guest.calls[0].payload == {"s": "\ufffd", "\ufffdk": 1}


def test_many_pending_calls(run: RunJavaScript) -> None:
    guest = run("(await Promise.all(Array.from({ length: 2000 }, (_, n) => codemode.a.b({ n })))).length", answer=echo)
    assert guest.value == 2000


def three_pages(call: Call) -> Answer:
    """A tool of three pages; the second page's arguments repeat what was asked."""
    page = call.payload.get("page", 1)
    following = {**call.payload, "page": page + 1} if page < 3 else None
    return Answer({"data": [page], "status": 200, "headers": {}, "links": {}, "next": following})


@pytest.mark.parametrize(
    ("program", "value", "asked"),
    [
        (
            "const all = []; for await (const page of codemode.a.list.pages({ q: 'x' })) all.push(...page); all",
            [1, 2, 3],
            3,
        ),
        ("for await (const page of codemode.a.list.pages()) { if (page[0] === 2) break; } 'left'", "left", 2),
        (
            "const one = await codemode.a.list.response({ page: 3 }); [one.status, one.next, one.data]",
            [200, None, [3]],
            1,
        ),
        (
            "const p = codemode.a.list.pages({ page: 3 }); await p.next(); [await p.next(), await p.next()].map(r => r.done)",
            [True, True],
            1,
        ),
        ("const p = codemode.a.list.pages(); await p.return(); (await p.next()).done", True, 0),
        (
            "[codemode.a.list.name, codemode.a.list.pages.name, Object.keys(codemode.a.list)]",
            ["a.list", "a.list.pages", []],
            0,
        ),
    ],
)
def test_pages_are_walked_with_the_arguments_the_host_tells(
    run: RunJavaScript, program: str, value: object, asked: int
) -> None:
    guest = run(program, answer=three_pages)
    assert guest.value == value
    assert [call.name for call in guest.calls] == ["a.list.response"] * asked


def test_pages_that_repeat_themselves_end(run: RunJavaScript) -> None:
    same = lambda _: Answer({"data": 1, "status": 200, "headers": {}, "links": {}, "next": {"page": 9}})  # noqa: E731
    assert run("let n = 0; for await (const page of codemode.a.list.pages({})) n++; n", answer=same).value == 2


def test_a_page_that_fails_throws_where_it_is_awaited(run: RunJavaScript) -> None:
    program = (
        "try { for await (const page of codemode.a.list.pages({})); } catch (e) { [e.code, e.status, e.retry_after] }"
    )
    assert run(program, answer=lambda _: failure("unavailable", status=503, retry_after=7)).value == [
        "unavailable",
        503,
        7,
    ]
    guest = run("codemode.a.list.pages('x')", answer=three_pages)
    assert "takes one object with named arguments" in guest.error["message"]


def test_retry_after_is_there_only_when_the_host_told_it(run: RunJavaScript) -> None:
    program = (
        "try { await codemode.a.b({}) } catch (e) { ['retry_after' in e, JSON.parse(JSON.stringify(e)).retry_after] }"
    )
    assert run(program, answer=lambda _: failure("unavailable")).value == [False, None]
    assert run(program, answer=lambda _: failure("unavailable", retry_after=1.5)).value == [True, 1.5]


@pytest.mark.parametrize(
    ("program", "name", "payload"),
    [
        ("codemode.tools()", "lockgate.tools", {}),
        ("codemode.search('open issues')", "lockgate.search", {"query": "open issues"}),
        ("codemode.search('open issues', { limit: 3 })", "lockgate.search", {"query": "open issues", "limit": 3}),
        ("codemode.search({ query: 'x', cursor: 'c' })", "lockgate.search", {"query": "x", "cursor": "c"}),
        ("codemode.describe('a.b')", "lockgate.describe", {"names": "a.b"}),
        (
            "codemode.describe(['a.b', 'c.d'], { budget: 300 })",
            "lockgate.describe",
            {"names": ["a.b", "c.d"], "budget": 300},
        ),
    ],
)
def test_the_catalog_is_asked_by_calls(run: RunJavaScript, program: str, name: str, payload: object) -> None:
    assert run(f"await {program}", answer=echo).calls == [Call(1, TOOL, name, payload)]
