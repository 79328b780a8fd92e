"""A request in the form it leaves in, and the steps that may still change it once its body is known."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sandboxes.authority import Authority

from .request import Denial

HELD_BODY = 1024 * 1024  # bytes a held body may have, unless a rule says otherwise
# Each says something of the body as the client sent it: untrue once a step has changed the body.
_BODY_DIGESTS = frozenset((b"content-digest", b"content-md5", b"digest", b"repr-digest"))
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"expect"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Outgoing:
    """A whole request: canonical path, query without `?` or None, headers without Host, the body's bytes."""

    method: str
    scheme: str
    authority: Authority
    path: str = field(repr=False)  # any of these may hold a secret's value
    query: str | None = field(repr=False)
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def target(self) -> str:
        """Origin form (RFC 9112 section 3.2.1)."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def with_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> "Outgoing":
        """The same with other headers."""
        return replace(self, headers=tuple(headers))

    def framed(self, *, changed: bool) -> "Outgoing":
        """With the one Content-Length that its body has, and no digest of a body that was `changed`."""
        dropped = _FRAMING | _BODY_DIGESTS if changed else _FRAMING
        kept = [(name, value) for name, value in self.headers if name.lower() not in dropped]
        said = any(name.lower() in {b"content-length", b"transfer-encoding"} for name, _ in self.headers)
        if self.body or said:
            kept.append((b"content-length", str(len(self.body)).encode()))
        return self.with_headers(kept)


BodyStep = Callable[[Outgoing], Outgoing | Denial]


def run_steps(outgoing: Outgoing, steps: Iterable[BodyStep], arrived: bytes) -> Outgoing | Denial:
    """The request after every step in order, or the first refusal. `arrived` is its body as the client sent it.

    Raises RuntimeError if a step sends it elsewhere: where it goes was decided before.
    """
    decided = (outgoing.method, outgoing.scheme, outgoing.authority)
    for step in steps:
        done = step(outgoing)
        if isinstance(done, Denial):
            return done
        if (done.method, done.scheme, done.authority) != decided:
            raise RuntimeError("a body step changed the destination")
        outgoing = done
    return outgoing.framed(changed=outgoing.body != arrived)
