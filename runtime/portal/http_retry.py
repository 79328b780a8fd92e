"""Asking an upstream again that asked to wait: when, how long, and when no more. No I/O and no clock of its own."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from runtime.portal.http_call import HttpReply

TOO_MANY: Final = 429
UNAVAILABLE: Final = 503
_FIRST_S: Final = 0.25
_LONGEST_S: Final = 366 * 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """At most `retries` further requests, with waits of at most `budget_s` seconds together."""

    retries: int = 2
    budget_s: float = 10.0


def retry_after_s(reply: HttpReply, now: float) -> float | None:
    """Seconds that the answer asks to wait (RFC 9110, 10.2.3), from `now`, Unix seconds. None where it does not say."""
    text = reply.header("retry-after").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:12]), _LONGEST_S)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return None
    aware = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return min(max(0.0, (aware - datetime.fromtimestamp(now, UTC)).total_seconds()), _LONGEST_S)


def wait_before_again(  # noqa: PLR0913 - what the decision rests on
    policy: RetryPolicy,
    reply: HttpReply,
    *,
    tried: int,
    waited_s: float,
    left_s: float,
    now: float,
    read_only: bool,
    chance: Callable[[], float] = random.random,
) -> float | None:
    """Seconds to wait before the same request again. None for leaving it at this answer.

    429 says that nothing was done, so every request may be repeated after it; 503 does not, so only one that reads.
    What the upstream asks for is kept to exactly; without, the wait doubles, with a random share so that programs
    do not return together. `left_s` is the time until the call's deadline.
    """
    repeatable = reply.status == TOO_MANY or (reply.status == UNAVAILABLE and read_only)
    if not repeatable or tried > policy.retries:
        return None
    asked = retry_after_s(reply, now)
    wait = asked if asked is not None else _FIRST_S * 2 ** min(tried - 1, 16) * (0.5 + chance())
    return wait if wait <= min(policy.budget_s - waited_s, left_s) else None
