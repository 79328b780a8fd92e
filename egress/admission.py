"""An allowed request as it will be sent, and the steps that its body goes through before."""

from dataclasses import dataclass, field, replace
from functools import partial

from sandboxes.egress_decision import Decision

from .client_certificate import ClientCertificate
from .credentials import (
    refuse_in_body,
)
from .outgoing import HELD_BODY, BodyStep, Outgoing
from .request import CanonicalRequest, Denial
from .screen import Screen
from .secrets import Unready


@dataclass(frozen=True, kw_only=True, slots=True)
class Admission:
    """An allowed request as it will be sent: headers without Host, query, and what must not come back."""

    decision: Decision
    headers: list[tuple[bytes, bytes]] = field(repr=False)  # from here on fields may hold a secret's value
    query: str | None = field(repr=False)
    path: str | None = field(default=None, repr=False)  # None: as it was asked for
    credential: str | None = None
    needles: tuple[tuple[str, bytes], ...] = field(default=(), repr=False)
    certificate: ClientCertificate | None = None
    watched: frozenset[str] = frozenset()  # placeholders that its body may not hold
    # With steps the request is held until its body is whole, and they run on it in order before it leaves.
    steps: tuple[BodyStep, ...] = ()
    body_limit: int = HELD_BODY
    would_deny: Decision | None = None  # the refusal that mode report lets go
    screen: Screen | None = None
    held: bool = False  # decided by its body, which therefore does not stream

    def outgoing(self, request: CanonicalRequest, body: bytes = b"") -> Outgoing:
        """The request as it will be sent."""
        return Outgoing(
            method=request.method,
            scheme=request.scheme,
            authority=request.authority,
            path=request.target.path if self.path is None else self.path,
            query=self.query,
            headers=tuple(self.headers),
            body=body,
        )


@dataclass(frozen=True, slots=True)
class BodyWanted:
    """The head is allowed and the body decides: admit again with it. It may have `limit` bytes."""

    limit: int


def screened_first(admission: Admission | Denial | Unready) -> Admission | Denial | Unready:
    """A request that is held for another's sake has its body screened first."""
    if not isinstance(admission, Admission) or admission.screen is None or not admission.steps:
        return admission
    first = admission.screen.step
    return admission if first in admission.steps else replace(admission, steps=(first, *admission.steps))


def with_step(admission: Admission, step: BodyStep | None, rule: str) -> tuple[BodyStep, ...]:
    """The credential goes on last, after whoever reads the body that the program sent."""
    if step is None:
        return admission.steps
    watch = (partial(refuse_in_body, admission.watched, rule),) if admission.watched and not admission.steps else ()
    return (*admission.steps, *watch, step)


def watching(admission: Admission, words: frozenset[str], rule: str | None) -> Admission:
    """With a watch for placeholders in the body: as it streams, or as a step where it is held."""
    if not words:
        return admission
    step = partial(refuse_in_body, words, rule)
    return replace(
        admission, watched=words, steps=(*admission.steps, step) if admission.steps or admission.held else ()
    )
