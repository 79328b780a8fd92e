"""A request kept back until its whole body is known. Bounded for one request and for all of them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .body_coding import coding_of, decode_body, refuse_coding, too_long, without_coding
from .outgoing import Outgoing, run_steps
from .request import CanonicalRequest, Denial

if TYPE_CHECKING:
    from .admission import Admission

HELD_IN_ALL = 128 * 1024 * 1024
Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class HeldMemory:
    """Bytes of bodies that are kept back now, in one proxy."""

    limit: int = HELD_IN_ALL
    used: int = 0


class Held:
    """Counts one body as it arrives and finishes its request. `release` gives its bytes back, whatever the end.

    `asked` are the headers as they came, `token` is checked again before the request leaves.
    """

    def __init__(
        self, memory: HeldMemory, asked: Fields, request: CanonicalRequest, admission: Admission, token: str | Denial
    ) -> None:
        self.token = token
        self._memory = memory
        self._request = request
        self._admission = admission
        self._limit = admission.body_limit
        self._coding = coding_of(asked)
        self._size = 0
        self.refused = self._refuse_head(asked)

    def _refuse_head(self, asked: Fields) -> Denial | None:
        """What can be refused before a byte of the body came."""
        declared = [value for name, value in asked if name.lower() == b"content-length"]
        if declared and int(declared[0]) > self._limit:
            return too_long(self._limit)
        return refuse_coding(self._coding)

    def take(self, size: int) -> Denial | None:
        """Count a piece of `size` bytes; gives the refusal once there are too many."""
        self._size += size
        self._memory.used += size
        if self._size > self._limit:
            return too_long(self._limit)
        if self._memory.used > self._memory.limit:
            reason = f"the egress proxy keeps {self._memory.limit} bytes of request bodies already; try again"
            return Denial(code="busy", reason=reason, status=503)
        return None

    def finish(self, raw: bytes) -> Outgoing | Denial:
        """The request as it leaves, after every step, or why it does not."""
        body = decode_body(raw, self._coding, self._limit)
        if isinstance(body, Denial):
            return body
        outgoing = self._admission.outgoing(self._request, body)
        return run_steps(outgoing.with_headers(without_coding(outgoing.headers)), self._admission.steps, raw)

    def release(self) -> None:
        """Its bytes are no longer held. Idempotent."""
        self._memory.used -= self._size
        self._size = 0
