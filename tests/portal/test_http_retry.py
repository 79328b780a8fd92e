"""When a request is sent again: what the answer asks for, the budget, the deadline."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.execution.hostcall import HostCallError
from runtime.portal.http_call import HttpBounds, HttpReply, HttpRequest
from runtime.portal.http_retry import RetryPolicy, retry_after_s, wait_before_again
from runtime.portal.openapi import load_openapi
from runtime.portal.openapi_call import Api, call_openapi
from tests.portal.parts import as_json

NOW = 1_700_000_000.0
DOCUMENT = {"openapi": "3.1.0", "paths": {"/a": {"get": {"operationId": "read"}, "post": {"operationId": "write"}}}}
READ, WRITE = load_openapi("api", as_json(DOCUMENT), "api").tools


def reply(status: int, retry_after: str | None = None) -> HttpReply:
    headers = (("retry-after", retry_after),) if retry_after is not None else ()
    return HttpReply(status=status, headers=headers, body=b"{}")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5), ("0", 0), (" 7 ", 7), ("Tue, 14 Nov 2023 22:13:30 GMT", 10), ("Tue, 14 Nov 2023 22:13:00 GMT", 0),
        ("Tue, 14 Nov 2023 22:13:30", 10), ("-1", None), ("1.5", None), ("soon", None), ("", None), ("²", None),
        ("9" * 500, 366 * 86_400), ("Tue, 99 Nov 2023 22:13:30 GMT", None),
    ],
)  # fmt: skip
def test_how_long_an_answer_asks_to_wait(text: str, seconds: float | None) -> None:
    assert retry_after_s(reply(429, text), NOW) == seconds


@given(st.text(max_size=60))
def test_any_text_may_stand_there(text: str) -> None:
    assert (retry_after_s(reply(429, text), NOW) or 0) >= 0


@pytest.mark.parametrize(
    ("case", "wait"),
    [
        ({}, 0.25),
        ({"tried": 2}, 0.5),
        ({"tried": 3}, None),
        ({"status": 503}, 0.25),
        ({"status": 503, "read_only": False}, None),
        ({"status": 429, "read_only": False}, 0.25),
        ({"status": 500}, None),
        ({"status": 200}, None),
        ({"retry_after": "4"}, 4),
        ({"retry_after": "11"}, None),
        ({"retry_after": "4", "waited_s": 7.0}, None),
        ({"retry_after": "4", "left_s": 3.0}, None),
        ({"policy": RetryPolicy(retries=0)}, None),
        ({"policy": RetryPolicy(budget_s=0)}, None),
    ],
)
def test_whether_and_when_again(case: dict[str, Any], wait: float | None) -> None:
    answer = reply(case.pop("status", 429), case.pop("retry_after", None))
    asked = {"tried": 1, "waited_s": 0.0, "left_s": 60.0, "now": NOW, "read_only": True, "chance": lambda: 0.5, **case}
    assert wait_before_again(asked.pop("policy", RetryPolicy()), answer, **asked) == wait


class Upstream:
    """Answers in turn, the last for ever; waits are only noted."""

    def __init__(self, *answers: HttpReply) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []
        self.waits: list[float] = []

    async def send(self, request: HttpRequest, _: HttpBounds) -> HttpReply:
        self.requests.append(request)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    async def call(self, tool: Any = READ) -> Any:
        api = Api(base_url="https://api.example", headers={}, send=self.send, sleep=self.sleep)
        return await call_openapi(tool, {}, api, HttpBounds(token="t", deadline=1e12, max_response_bytes=1_000))


async def test_an_answer_that_asks_to_wait_is_waited_for() -> None:
    upstream = Upstream(reply(429, "3"), reply(503, "2"), reply(200))
    assert (await upstream.call()).value == {}
    assert upstream.waits == [3, 2]
    assert upstream.requests == [upstream.requests[0]] * 3


async def test_what_never_gets_better_is_an_error_that_says_all() -> None:
    upstream = Upstream(reply(429, "4"))
    with pytest.raises(HostCallError) as error:
        await upstream.call(WRITE)
    assert upstream.waits == [4, 4]
    assert error.value.to_json() == {
        "code": "upstream_error", "message": "api.write: the upstream answered 429, 3 times", "status": 429,
        "retryable": True, "tool": "api.write", "details": {}, "retry_after": 4.0,
    }  # fmt: skip


async def test_a_wait_above_the_budget_is_left_to_the_program() -> None:
    upstream = Upstream(reply(503, "3600"))
    with pytest.raises(HostCallError) as error:
        await upstream.call()
    assert upstream.waits == []
    assert (error.value.code, error.value.retry_after) == ("unavailable", 3600)


async def test_a_write_is_not_repeated_after_503() -> None:
    upstream = Upstream(reply(503))
    with pytest.raises(HostCallError):
        await upstream.call(WRITE)
    assert len(upstream.requests) == 1
