"""A session whose programs keep their globals: what has run in it, where its isolate is, who waits for it."""

import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from runtime.execution.execution import Execution, Program
from runtime.store.records import SessionRow
from runtime.worker.link import Link
from sandboxes.profile import Isolation
from sandboxes.session_rules import SessionRules

SessionRefusal = Literal[
    "NO_SUCH_SESSION",
    "NO_SUCH_EXECUTION",
    "SESSION_EXISTS",
    "SESSION_OTHER_IMAGE",
    "SESSION_FULL",
    "TOO_MANY_SESSIONS",
    "SESSION_BUSY",
]


class SessionRefusedError(RuntimeError):
    """A program, or a fork, is not taken; nothing was started. `reason` is a stable word."""

    def __init__(self, reason: SessionRefusal, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class SessionLostError(RuntimeError):
    """A session's globals are gone and cannot be made again; the text says why."""


def new_session_id() -> str:
    """`ses_`, then the time in milliseconds and 80 random bits, in hexadecimal."""
    return f"ses_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


def kept_name(program: Program) -> str:
    """What the store knows a session by, within its tenant: one `session_id` has other globals in each language."""
    return f"{'python' if program.language == 'python' else 'javascript'}:{program.session_id}"


@dataclass(kw_only=True, slots=True, eq=False)
class KeptSession:
    """`history`: the executions whose globals it has, in order. `number` is its own in frames to workers.

    All its programs run on one image, which stays the same when a newer one of its name comes.
    Its isolate, if it is anywhere, is in `link` and has run `at` programs. `rules` are those of its last program's
    profile, None where none has come. `lost`: why its globals cannot be had, empty if they can.
    """

    id: str
    tenant: str
    name: str
    number: int
    created_ns: int
    used_ns: int
    parent: str = ""
    rules: SessionRules | None = None
    isolation: Isolation = "tenant"
    image: str = ""
    image_digest: str = ""
    history: list[str] = field(default_factory=list)
    memory_bytes: int = 0
    link: Link | None = None
    at: int = 0
    running: Execution | None = None
    waiting: deque[Execution] = field(default_factory=deque)
    preparing: bool = False
    closing: bool = False
    lost: str = ""

    @property
    def language(self) -> str:
        """Either javascript, types included, or python."""
        return self.name.partition(":")[0]

    @property
    def session_id(self) -> str:
        """As its client calls it."""
        return self.name.partition(":")[2]

    @property
    def sibling(self) -> str:
        """The name of the other language's session, which has the same store."""
        return f"{'javascript' if self.language == 'python' else 'python'}:{self.session_id}"

    @property
    def place(self) -> Link | None:
        """The worker whose isolate its next program can run in."""
        link = self.link
        return link if link is not None and self.at == len(self.history) and link.keeps(self.number) else None

    @property
    def programs(self) -> list[Execution]:
        """The one whose turn it is, and those that wait."""
        return [each for each in (self.running, *self.waiting) if each is not None]

    def runs(self, execution: Execution) -> bool:
        """Whether it is this execution's turn; one that was paused may have become another object meanwhile."""
        return self.running is not None and self.running.id == execution.id

    def is_over(self, rules: SessionRules, now_ns: int) -> bool:
        """Whether it is too old, or nobody has used it for too long."""
        if self.running is not None:
            return False
        idle, age = now_ns - self.used_ns, now_ns - self.created_ns
        return idle > rules.max_idle_s * 10**9 or age > rules.max_age_s * 10**9

    def admit(self, program: Program) -> None:
        """Raises SessionRefusedError if it takes no program more, or not this one."""
        rules = program.profile.sessions
        if self.closing:
            raise SessionRefusedError("SESSION_BUSY", "the session is being closed; try again later")
        if self.image and self.image != program.image:
            message = (
                f"the programs of this session ran on the image {self.image}, this one would run on {program.image}"
            )
            raise SessionRefusedError("SESSION_OTHER_IMAGE", f"{message}; use another session_id")
        if len(self.history) + len(self.waiting) + (self.running is not None) >= rules.max_programs:
            message = f"the session has run {len(self.history)} programs, of sessions.max_programs {rules.max_programs}"
            raise SessionRefusedError("SESSION_FULL", f"{message}; close it, or use another session_id")
        if self.running is not None and len(self.waiting) >= rules.max_waiting:
            message = f"{len(self.waiting)} programs of this session wait, which is sessions.max_waiting"
            raise SessionRefusedError("SESSION_BUSY", f"{message}; try again later")

    def row(self, forked_at: str = "") -> SessionRow:
        """For the store."""
        return SessionRow(
            id=self.id,
            tenant=self.tenant,
            name=self.name,
            created_ns=self.created_ns,
            used_ns=self.used_ns,
            parent=self.parent,
            forked_at=forked_at,
        )
