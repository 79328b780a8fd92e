"""How long an exchange may stand still, on either side. Pure: the time is given, monotonic, in seconds."""

from dataclasses import dataclass
from typing import Literal

from sandboxes.egress import Patience

Phase = Literal["sending", "waiting", "receiving"]


@dataclass(frozen=True, slots=True)
class Overdue:
    """Who kept it waiting, and what to say of it."""

    by: Literal["client", "upstream"]
    reason: str


def overdue(
    patience: Patience, phase: Phase, still_s: float, total_s: float, *, events: bool = False
) -> Overdue | None:
    """Whether an exchange that has not moved for `still_s` is given up. `events`: its answer is an event stream."""
    if total_s > patience.total_s:
        return Overdue("upstream", f"the exchange was not over after {patience.total_s:g} s")
    if phase == "sending":
        bound, by, what = patience.body_s, "client", "the request's body did not move"
    elif phase == "waiting":
        bound, by, what = patience.answer_s, "upstream", "the upstream did not begin its answer"
    else:
        bound = patience.events_s if events else patience.body_s
        by, what = "upstream", "the answer's body did not move"
    if still_s <= bound:
        return None
    return Overdue("client" if by == "client" else "upstream", f"{what} for {bound:g} s")
