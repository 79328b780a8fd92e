"""How long to wait before asking again."""

import random
from collections.abc import Iterator
from typing import Final

FIRST_S: Final = 0.1
MOST_S: Final = 5.0


def waits(attempts: int) -> Iterator[float | None]:
    """After each attempt: seconds to wait, doubled each time and spread by half; None after the last."""
    for number in range(attempts - 1):
        yield min(MOST_S, FIRST_S * 2.0**number) * random.uniform(0.75, 1.25)  # noqa: S311 - spreads load, guards nothing
    yield None
