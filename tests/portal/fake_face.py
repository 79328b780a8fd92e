"""A face whose programs are scripts of its own: `log x`, `fail`, `limit`, `wait`, `who`, or a result."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from runtime.portal.face import (
    BadRequestError,
    CallLine,
    CallNote,
    DescribeReply,
    ExecuteReply,
    OnCall,
    OnLog,
    Overview,
    PortalLog,
    ProgramError,
    Requester,
    SearchReply,
    ToolHit,
)

HIT = ToolHit(
    name="github.issuesGet",
    signature="codemode.github.issuesGet({owner: string, issue_number: number}): Promise<Issue>",
    purpose="Get an issue",
    upstream="github",
    read_only=True,
)
CALLS = (
    CallLine(target="github.issuesGet", outcome="ok", read_only=True),
    CallLine(target="github.issuesCreate", outcome="ok", read_only=False),
)


class FakeFace:
    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.go_on = asyncio.Event()
        self.told = Overview()

    async def search(
        self, query: str, limit: int, cursor: str | None, language: str, requester: Requester
    ) -> SearchReply:
        assert isinstance(requester, Requester)
        assert language in {"javascript", "python"}
        if cursor == "bad":
            raise BadRequestError("cursor: this is not a cursor of a search")
        if query == "nothing":
            return SearchReply(tools=(), total=0, unmatched=("nothing",), unavailable=("notes is down: no answer",))
        return SearchReply(tools=(HIT,) * min(limit, 1), total=7, unmatched=("frob",), cursor="1.1")

    async def describe(self, names: Sequence[str], language: str, requester: Requester) -> DescribeReply:
        assert isinstance(requester, Requester)
        return DescribeReply(
            text=f"{language}: {', '.join(names)}", left_out=("github.Issue",), unknown=("x (nearest: y)",)
        )

    async def overview(self) -> Overview:
        return self.told

    async def execute(  # noqa: C901 - a script a case
        self,
        code: str,
        language: str | None,
        inputs: Any,
        profile: str | None,
        on_log: OnLog,
        on_call: OnCall,
        requester: Requester,
    ) -> ExecuteReply:
        match code.split(maxsplit=1):
            case ["refuse"]:
                raise BadRequestError('there is no profile "x"')
            case ["log", text]:
                lines = tuple(PortalLog(number=n, level=level, text=f"{text} {n}") for n, level in
                              enumerate(("debug", "info", "error"), 1))  # fmt: skip
                for line in lines:
                    await on_log(line)
                    if line.number == 1:
                        await self.go_on.wait() if text == "slowly" else None
                return reply(result="done", logs=lines)
            case ["fail"]:
                error = ProgramError(name="TypeError", message="x is not a function", line=3, column=11,
                                     source_line="const y = x();")  # fmt: skip
                return reply(status="program_error", error=error, calls=CALLS)
            case ["limit"]:
                error = ProgramError(name="LimitError", message="wall time is over", limit="wall_ms", limit_value=30000)
                return reply(status="limit", error=error)
            case ["wait"]:
                self.waiting.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    self.cancelled.set()
            case ["call", count]:
                for number in range(1, int(count) + 1):
                    await on_call(CallNote(number=number, target="github.issuesGet"))
                    await on_call(CallNote(number=number, target="github.issuesGet", outcome="ok"))
            case ["broken"]:
                return reply(result="é\u2028\ud800")
            case ["who"]:
                return reply(result=[requester.principal, requester.client])
        return reply(result={"code": code, "language": language, "inputs": inputs, "profile": profile})

    async def resume(self, execution_id: str, requester: Requester) -> ExecuteReply:
        if execution_id != "x-1":
            raise BadRequestError("there is no such execution")
        return reply(result=["resumed", requester.principal])


def reply(status: str = "succeeded", **more: Any) -> ExecuteReply:
    return ExecuteReply(execution_id="x-1", status=status, **more)


def parsed(text: str) -> Any:
    return json.loads(text)
