"""One request through the proxy, from its head to its record."""

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sandboxes.smallest_rule import without_values
from sandboxes.token import TokenClaims

from .account import Exhausted
from .answers import Answer, refusal, upstream_fault
from .body_record import BodyRecord
from .credentials import misplaced
from .dialer import Destination
from .held import Held
from .ledger import Lease
from .patience import Phase
from .placeholder_watch import PlaceholderWatch
from .request import Denial
from .returning import Returning, ReturnRefusedError
from .screen import Screen


@dataclass(kw_only=True, slots=True, eq=False)
class Exchange:
    """What is known of a request so far. Mutable: the proxy's hooks fill it in, `event` reads it out once."""

    method: str
    started: float = field(default_factory=time.monotonic)
    moved: float = field(default_factory=time.monotonic)
    phase: Phase = "sending"
    events: bool = False  # the answer is an event stream, which may be silent for long
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    claims: TokenClaims | None = None
    scheme: str = ""
    host: str | None = None
    port: int | None = None
    path: str | None = None
    allowed: bool = False
    code: str = "undecided"
    reason: str = "no decision was made"
    rule: str | None = None
    credential: str | None = None
    hint: dict[str, Any] | None = None
    would_deny: str | None = None  # the code of the refusal that mode report let go
    destination: Destination | None = None
    held: Held | None = None
    lease: Lease | None = None
    watch: PlaceholderWatch | None = None
    screen: Screen | None = None
    sent: BodyRecord | None = None  # the bodies, where the rule has them recorded
    came: BodyRecord | None = None
    fixed: bool = False  # the length of the request's body was announced
    last: bool = False  # the client wants its connection closed afterwards
    returning: Returning = field(default_factory=Returning)
    status: int | None = None
    answer: Answer | None = None
    address: str | None = None
    tls: str | None = None
    bytes_out: int = 0
    bytes_in: int = 0
    cut: bool = False  # broken off by the proxy itself, and recorded as such whatever else is noticed
    recorded: bool = False

    def deny(self, denial: Denial) -> Answer:
        """Note the refusal and give the answer to it."""
        self.allowed = False
        self.destination = None
        self.code, self.reason, self.rule, self.hint = denial.code, denial.reason, denial.rule, denial.hint
        self.status = denial.status
        if denial.code == "dlp" and denial.hint and denial.hint["part"] == "path":
            self.path = "/[redacted]"
        self.answer = refusal(
            status=denial.status, code=denial.code, reason=denial.reason, rule=denial.rule,
            host=self.host, hint=denial.hint,
        )  # fmt: skip
        return self.answer

    def cut_off(self, code: str, reason: str) -> None:
        """Note that the proxy itself breaks it off."""
        if not self.cut:
            self.cut, self.code, self.reason = True, code, reason

    def moves(self, phase: Phase) -> None:
        """Something of it came or went."""
        self.moved, self.phase = time.monotonic(), phase

    def fail(self, error: str, reason: str) -> Answer:
        """Note that the upstream failed an allowed request and give the answer to it."""
        reason = self.returning.text(reason)
        self.code, self.reason, self.status = error, reason, 502
        self.answer = upstream_fault(
            error=error, reason=reason, rule=self.rule, host=self.host, credential=self.credential
        )
        return self.answer

    def sending(self, data: bytes) -> bytes | list[bytes]:
        """Count a piece of the request's body. mitmproxy would end a chunked body at `b""`, hence the list."""
        self.bytes_out += len(data)
        if self.answer is not None or (self.lease and self.exhausted(self.lease.sends(len(data)))):
            return []
        passed = data if self.watch is None else self.watch.feed(data)
        if self.watch is not None and self.watch.found:
            self.break_off(misplaced("the body", self.rule or ""))
        passed = self._screened(passed, final=not data)
        if self.sent is not None:
            self.sent.add(passed)
        return passed or []

    def _screened(self, data: bytes, *, final: bool) -> bytes:
        if self.screen is None or not self.screen.reads_body:
            return data
        passed = self.screen.feed(data, final=final, fixed=self.fixed)
        if isinstance(passed, Denial):
            self.break_off(passed)
            return b""
        return passed

    def receiving(self, data: bytes) -> bytes | list[bytes]:
        """Count a piece of the response's body and take secrets out of it; `b""` is its end."""
        self.bytes_in += len(data)
        data = self._within_budget(data)
        if self.cut and not data:
            return []
        try:
            pieces = list(self.returning.body(data))
            if self.came is not None:
                self.came.add(b"".join(pieces))
            return pieces  # noqa: TRY300 - what the rest of the try is about
        except ReturnRefusedError as error:
            self.cut_off("response_refused", str(error))
            return []

    def exhausted(self, spent: Exhausted | None) -> bool:
        """Note that a budget ran out, if one did."""
        if spent is None:
            return False
        self.break_off(spent.denial(self.rule))
        return True

    def break_off(self, denial: Denial) -> None:
        """End a request under way; the answer tells why, if its head has not left yet."""
        self.cut, self.code, self.reason, self.hint = True, denial.code, denial.reason, denial.hint
        self.status = self.status or denial.status
        self.answer = refusal(
            status=denial.status, code=denial.code, reason=denial.reason, rule=self.rule, host=self.host,
            hint=denial.hint,
        )  # fmt: skip

    def _within_budget(self, data: bytes) -> bytes:
        """What of a piece of the answer the budget has left."""
        spent = self.lease.brings(len(data)) if self.lease and not self.cut else None
        if spent is not None and self.exhausted(spent):
            return data[: max(0, len(data) - int(spent.used - spent.value))]
        return data

    def _dlp(self) -> dict[str, int]:
        """How often each outgoing data pattern was found."""
        if self.screen is not None:
            return dict(self.screen.hits)
        return {self.hint["pattern"]: 1} if self.code == "dlp" and self.hint else {}

    def event(self) -> dict[str, Any]:
        """The record of this request. Holds no secret: query values are gone and the credential is redacted."""
        claims = self.claims
        return {
            "time": self.started_at.isoformat(timespec="milliseconds"),
            "event": "egress",
            "allowed": self.allowed,
            "code": self.code,
            "reason": self.reason,
            "rule": self.rule,
            "method": self.method,
            "scheme": self.scheme,
            "host": self.host,
            "port": self.port,
            "path": self.path,
            "status": self.status,
            "bytes_out": self.bytes_out,
            "bytes_in": self.bytes_in,
            "duration_ms": round((time.monotonic() - self.started) * 1000, 3),
            "address": self.address,
            "tls": self.tls,
            "credential": self.credential,
            "redactions": self.returning.redactions,
            "dlp": self._dlp(),
            "execution": claims.execution if claims else None,
            "actor": claims.actor if claims else None,
            "environment": claims.environment if claims else None,
            "rules": claims.rules if claims else None,
            "hint": without_values(self.hint),
            "would_deny": self.would_deny,
            "request_body": self.sent and self.sent.shown(self.returning.redactor),
            "response_body": self.came and self.came.shown(self.returning.redactor),
        }
