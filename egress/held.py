"""A request kept back until its whole body is known. Bounded for one request and for all of them together."""

from dataclasses import dataclass

from .admission import Admission, BodyWanted
from .body_coding import coding_of, decode_body, refuse_coding, too_long, without_coding
from .outgoing import Outgoing, run_steps
from .request import CanonicalRequest, Denial

HELD_IN_ALL = 128 * 1024 * 1024
Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class HeldMemory:
    """Bytes of bodies that are kept back now, in one proxy."""

    limit: int = HELD_IN_ALL
    used: int = 0


class Held:
    """Counts one body as it arrives. `release` gives its bytes back, whatever end its request comes to.

    `asked` are the headers as they came, `token` is checked again before the request leaves, and `admission` is
    what was decided in its head: everything but its steps, or that the body decides.
    """

    def __init__(
        self,
        memory: HeldMemory,
        asked: Fields,
        request: CanonicalRequest,
        token: str | Denial,
        admission: Admission | BodyWanted,
    ) -> None:
        self.asked, self.request, self.token, self.admission = asked, request, token, admission
        self._memory = memory
        self._limit = admission.limit if isinstance(admission, BodyWanted) else admission.body_limit
        self._coding = coding_of(asked)
        self._size = 0
        self._raw = b""
        self.refused = self._refuse_head()

    def _refuse_head(self) -> Denial | None:
        """What can be refused before a byte of the body came."""
        declared = [value for name, value in self.asked if name.lower() == b"content-length"]
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

    def body(self, raw: bytes) -> bytes | Denial:
        """The whole body without its content coding."""
        self._raw = raw
        return decode_body(raw, self._coding, self._limit)

    def outgoing(self, admission: Admission, body: bytes) -> Outgoing | Denial:
        """The request as it leaves, after every step, or why it does not."""
        if admission.steps and len(body) > admission.body_limit:
            return too_long(admission.body_limit)
        outgoing = admission.outgoing(self.request, body)
        return run_steps(outgoing.with_headers(without_coding(outgoing.headers)), admission.steps, self._raw)

    def release(self) -> None:
        """Its bytes are no longer held. Idempotent."""
        self._memory.used -= self._size
        self._size = 0
        self._raw = b""
