"""One execution: what was asked, how it stands, what it did and how it ended."""

import asyncio
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from runtime.execution.byte_budget import ByteBudget, Hold
from runtime.execution.caller import Caller
from runtime.execution.cut import Omission
from runtime.execution.file import File
from runtime.execution.hostcall import HostCallError
from runtime.execution.language import Language
from runtime.isolate import LogLine, Usage
from runtime.isolate.erasure import Types
from sandboxes.limits import Limits, LimitSource
from sandboxes.profile import Profile
from sandboxes.session_rules import globals_kept
from sandboxes.walls import Wall

if TYPE_CHECKING:
    from runtime.execution.journal import Journal

State = Literal["queued", "running", "paused", "ended"]
PAUSED: Final = "paused"
"""The status of one that waits for somebody's decision, in the store and nowhere else."""


_ENDED_BY_ITSELF: Final = frozenset({"succeeded", "program_error"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Program:
    """A validated request: what to run, as whom, under which terms. `inputs` is JSON.

    `intake` says what was made of the text that was sent; `detected`: nobody said what language it is in. `session` is
    the id of the stream it was sent in, `session_id` names the store it has, `kept_session` is the id of the session
    whose globals it finds and keeps, all empty for none; `inline_bytes` is the most bytes of its result to send back,
    0 for all. `read_only`: no fetches, and no tools but those known to read.
    `dry_run`: what reads is done, all else is only planned. `on_failure`: what becomes of completed writes then.
    `catalog_profile`: the profile that the catalog's approvals are told of, empty for its own.
    """

    code: str
    language: Language
    inputs: str
    profile: Profile
    limits: Limits
    limit_sources: Mapping[str, LimitSource]
    caller: Caller
    idempotency_key: str = ""
    intake: str = ""
    detected: bool = False
    session: str = ""
    session_id: str = ""
    kept_session: str = ""
    inline_bytes: int = 0
    read_only: bool = False
    dry_run: bool = False
    on_failure: Literal["keep", "rollback"] = "keep"
    catalog_profile: str = ""

    @property
    def keeps_globals(self) -> bool:
        """Whether it finds and keeps the globals of its session. What a dry run would leave there is not true."""
        return bool(self.session_id) and not self.dry_run and globals_kept(self.profile.sessions, self.language).allowed

    @property
    def types(self) -> Types:
        """What is to become of its types."""
        if self.language == "typescript":
            return Types.ERASE
        may_be = self.language == "javascript" and self.detected and "typescript" in self.profile.languages
        return Types.IF_NEEDED if may_be else Types.KEEP

    @property
    def image(self) -> str:
        """The image it runs on, by its name in the pool."""
        image = self.profile.image if self.language == "python" else "javascript"
        return f"{image}+fuel" if self.limits.fuel else image


@dataclass(kw_only=True, slots=True)
class HostCallRecord:
    """One host call. Times are monotonic seconds; `outcome` is "ok", an error code, or "unfinished"."""

    number: int
    kind: Literal["tool", "fetch"]
    target: str
    started: float
    ended: float = 0.0
    outcome: str = "unfinished"
    http_status: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    egress: str = ""
    credential: str = ""
    read_only: bool = False
    began: bool = False
    """Whether it was its turn: its arguments were within bounds, and the way to its upstream was taken."""
    never_sent: bool = False
    """Whether what failed is known to have failed before anything reached an upstream."""
    approval: str = ""
    """The approval it was made with."""
    edits: list[str] = field(default_factory=list)
    """How an approver narrowed its arguments, in words."""
    planned: str = ""
    """Of a dry run: what was not sent, as JSON text; empty if it was made, or is a read."""

    @property
    def may_have_changed(self) -> bool:
        """Whether it may have changed something outside: not if it only reads, and not if it never left."""
        never_left = (
            self.never_sent
            or self.planned
            or not self.began
            or self.outcome == "denied"
            or (self.outcome in {"not_found", "invalid_argument"} and not self.http_status)
        )
        return not self.read_only and not never_left


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedCall:
    """The call a program failed with, as it told of it: see HostCallError. `details` is JSON text, empty for none."""

    code: str
    tool: str = ""
    http_status: int = 0
    retryable: bool = False
    retry_after_s: float = 0.0
    details: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why an execution did not succeed. Line and column count from 1; 0 if not known."""

    name: str
    message: str
    line: int = 0
    column: int = 0
    source_line: str = ""
    stack: str = ""
    limit: str = ""
    limit_value: int = 0
    side_effects_possible: bool = False
    call: FailedCall | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultCut:
    """What was left out of the result that is told. `expires_at` is Unix seconds, `handle` empty if it was not kept."""

    handle: str
    expires_at: float
    total_bytes: int
    omissions: tuple[Omission, ...]


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A host call began."""

    call: HostCallRecord


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A host call ended."""

    call: HostCallRecord


@dataclass(frozen=True, slots=True)
class CallProgress:
    """An upstream said how far it is with a host call: `progress` of `total` (0 if that is not known), and words."""

    call: HostCallRecord
    progress: float
    total: float
    message: str


type Happening = LogLine | CallStarted | CallProgress | CallEnded | File | Literal["started", "paused", "resumed"]


def new_execution_id() -> str:
    """`exe_`, then the time in milliseconds and 80 random bits, in hexadecimal: unguessable, and sorted by time."""
    return f"exe_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


@dataclass(kw_only=True, slots=True, eq=False)
class Execution:
    """The record of one execution. Changed only by the executor, on the event loop."""

    program: Program
    image_digest: str
    parser_digest: str = ""
    id: str = field(default_factory=new_execution_id)
    status: str = "queued"
    state: State = "queued"
    created_ns: int = field(default_factory=time.time_ns)
    ended_ns: int = 0
    created: float = field(default_factory=time.monotonic)
    began: float = 0.0
    """When it first started, monotonic seconds; `started` is when it last did."""
    started: float = 0.0
    ends: float = 0.0
    """When its time is over at the latest, monotonic seconds; known once it runs."""
    result: str = ""
    failure: Failure | None = None
    usage: Usage | None = None
    missing_walls: Mapping[Wall, str] = field(default_factory=dict)
    logs: list[LogLine] = field(default_factory=list)
    calls: list[HostCallRecord] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    cut: ResultCut | None = None
    happenings: list[Happening] = field(default_factory=list)
    watchers: int = 0
    hold: Hold = field(default_factory=lambda: Hold(ByteBudget()))
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    attempts: int = 0
    losses: int = 0
    """Workers that died under it since it last got any further."""
    outcome_unknown: bool = False
    """Whether a call of it was under way when the gateway died, and nobody knows whether it was made."""
    position: int = 0
    """Which program of its session it is, from 1; 0 for none."""
    kept: int = 0
    """How many programs of its session the isolate has run that was kept when it ended."""
    journal: "Journal | None" = None
    halted: asyncio.Event = field(default_factory=asyncio.Event)
    """It has ended, or it is paused."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def in_session(self) -> bool:
        """Whether later programs of its session find its globals: it ended by itself, and its isolate was sound."""
        return 0 < self.position == self.kept and self.status in _ENDED_BY_ITSELF

    @property
    def size(self) -> int:
        """Roughly what keeping it costs, in bytes."""
        program, failure = self.program, self.failure
        texts = [program.code, program.inputs, self.result, *(line.text for line in self.logs)]
        if failure is not None:
            texts += [failure.message, failure.stack, failure.source_line]
        files = sum(len(file.data) for file in self.files)
        return 4_096 + files + sum(map(len, texts)) + 100 * len(self.logs) + 600 * len(self.calls)

    def happened(self, happening: Happening) -> None:
        """Note something for those who watch, now or later."""
        self.happenings.append(happening)
        if self.watchers:
            self.changed.set()

    def emit(self, name: str, kind: str, data: bytes, sha256: str) -> None:
        """Take a file from the program. Raises HostCallError when it has given as much as it may."""
        held, limits = sum(len(file.data) for file in self.files), self.program.limits
        if len(self.files) >= limits.files:
            raise _too_much("files", limits.files, "files")
        if len(data) > limits.file_bytes:
            raise _too_much("file_bytes", limits.file_bytes, f"bytes in one file; {name} has {len(data)}")
        if held + len(data) > limits.files_bytes:
            raise _too_much("files_bytes", limits.files_bytes, f"bytes of files, of which {held} were emitted before")
        self.hold.take_for_call(len(data), sent=False)
        file = File(number=len(self.files) + 1, name=name, type=kind, data=data, sha256=sha256)
        self.files.append(file)
        self.happened(file)

    def side_effects_possible(self) -> bool:
        """Whether a host call that may change something had been made."""
        return any(call.may_have_changed for call in self.calls)


def _too_much(limit: str, value: int, what: str) -> HostCallError:
    details = {"limit": limit, "value": value}
    return HostCallError("limit", f"emit: limit {limit} reached: at most {value} {what}", details=details)
