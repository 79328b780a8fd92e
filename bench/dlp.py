"""How fast one core looks through what requests carry out, for every known kind of outgoing data and an own pattern.

Held bodies are looked at whole (64 KiB each here), streamed ones in pieces of 64 KiB. None of the data holds anything
that a rule keeps in. Beside it: what a request without a body costs, and one with a small body.
"""

import time
from typing import get_args

from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from bench.scan import PIECE, SMALL, bodies, microseconds
from egress.outgoing import Outgoing
from egress.request import Denial
from egress.screen import Screen
from sandboxes.authority import Authority
from sandboxes.dlp import DlpRule, Known

KINDS = ("json", "html", "text", "base64", "binary", "percent")
# E-mail addresses and account numbers are what ordinary bodies are full of; bodies here have none.
RULES = (
    DlpRule(name="known", find=get_args(Known)),
    DlpRule(name="own", pattern=r"\bcustomer-[0-9]{6,12}\b", action="redact"),
)


def outgoing(body: bytes) -> Outgoing:
    """A request as it looks to the rules."""
    return Outgoing(
        method="POST",
        scheme="https",
        authority=Authority(host="api.example.com", port=443),
        path="/v1/orders/4711",
        query="page=2&sort=created",
        headers=((b"content-type", b"application/json"), (b"user-agent", b"bench"), (b"accept", b"*/*")),
        body=body,
    )


def held(body: bytes) -> None:
    """As `step` of a held request does it."""
    done = Screen(RULES, "open").step(outgoing(body))
    assert not isinstance(done, Denial), done.reason


def streamed(body: bytes) -> None:
    """As pieces of a body pass."""
    screen = Screen(RULES, "open")
    for at in range(0, len(body), PIECE):
        passed = screen.feed(body[at : at + PIECE], final=at + PIECE >= len(body), fixed=False)
        assert not isinstance(passed, Denial), passed.reason


def megabytes_per_s(body: bytes, seconds: float, *, stream: bool) -> float:
    """Of processor time of this thread."""
    done = place = 0
    begun = time.thread_time()
    while (spent := time.thread_time() - begun) < seconds or not done:
        piece = body[place : place + (16 * PIECE if stream else PIECE)]
        (streamed if stream else held)(piece)
        done += len(piece)
        place = (place + len(piece)) % len(body)
    return done / spent / 1e6


def one_round(bodies_by_name: dict[str, bytes], milliseconds: int) -> Round:
    seconds = milliseconds / 1000
    figures: dict[str, float] = {}
    for name in KINDS:
        for way in ("held", "streamed"):
            speed = megabytes_per_s(bodies_by_name[name], seconds, stream=way == "streamed")
            figures[f"{name}_{way}_mb_per_s"] = speed
    small, none = outgoing(bodies_by_name["json"][:SMALL]), outgoing(b"")
    figures["head_us"] = microseconds(lambda: Screen(RULES, "open").head(none), 300)
    figures["small_body_us"] = microseconds(lambda: Screen(RULES, "open").step(small), 300)
    return Round(figures=figures)


CHARTS = [
    Chart(
        kind="bars",
        title=f"Requests looked through, {way}, one core",
        names=[f"{name}_{way}_mb_per_s" for name in KINDS],
        unit="MB/s",
    )
    for way in ("held", "streamed")
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=5, n=400, n_means="milliseconds that each kind of data is measured for"))
    made = bodies()
    finish("dlp", arguments, [one_round(made, arguments.n) for _ in counted("dlp", arguments.rounds)], CHARTS)


if __name__ == "__main__":
    main()
