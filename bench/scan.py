"""How fast one core searches responses for 50 secrets: kinds of data that hold none, and data made to slow it down.

Each is streamed through as the proxy does it, in pieces of 64 KiB and in HTTP/2 frames of 16 KiB. Beside it: what
making a scanner takes, which happens when a secret changes, and what a small body takes, which every request pays.
"""

import base64
import gzip
import itertools
import json
import random
import string
import time
from collections.abc import Callable, Iterator
from urllib.parse import quote

from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from egress.content_coding import ContentDecoder
from egress.redaction import Redactor, StreamRedactor, redactor_for
from egress.rendering import renderings
from egress.scanner import Scanner

SECRETS = 50
SIZE = 8 * 1024 * 1024
PIECE = 64 * 1024
FRAME = 16 * 1024
SMALL = 600
_LETTERS = string.ascii_letters + string.digits
_WORDS = ("the", "of", "account", "order", "report", "customer", "which", "because", "Value", "Content", "is", "a")


def secrets(count: int = SECRETS) -> frozenset[tuple[str, bytes]]:
    """As services give them out: letters and digits, some with `-` and `_`, some with a known beginning."""
    chance = random.Random(1)
    starts = ("", "", "ghp_", "sk_live_", "glpat-", "eyJhbGciOiJIUzI1NiJ9.")
    made = ("".join([starts[n % len(starts)], *chance.choices(_LETTERS + "-_", k=40)]) for n in range(count))
    return frozenset((f"secret-{number}", value.encode()) for number, value in enumerate(made))


def bodies() -> dict[str, bytes]:
    """What comes back from services, and what somebody would send to slow the search down."""
    chance = random.Random(2)
    noise = chance.randbytes(SIZE)
    text = " ".join(chance.choices(_WORDS, k=SIZE // 5))
    records = [
        {"id": n, "name": f"user {n}", "url": f"https://api.example.com/v1/users/{n}?page=1", "note": text[n : n + 90]}
        for n in range(SIZE // 180)
    ]
    rows = (
        f'<tr><td>{n}</td><td><a href="/r?id={n}&amp;p=2">{text[n : n + 60]}</a> &lt;{n}&gt;</td></tr>\n'
        for n in itertools.count()
    )
    return {
        "json": json.dumps(records).encode(),
        "html": _until(rows),
        "text": "\n".join(text[at : at + 100] for at in range(0, len(text), 100)).encode(),
        "base64": base64.encodebytes(noise[: SIZE * 3 // 4]),
        "binary": noise,
        "json_slashes": json.dumps(records).replace("/", "\\/").encode(),
        "decoys": b" ".join(_decoys(chance)),
        "percent": quote(json.dumps(records[: len(records) // 8])).encode(),
        **_floods(chance),
    }


def _floods(chance: random.Random) -> dict[str, bytes]:
    """Every character of a secret's alphabet escaped, so that each has to be undone by itself."""
    letters = chance.choices(_LETTERS, k=SIZE // 64)
    return {
        "percent_flood": "".join(f"%{ord(letter):02X}" for letter in letters).encode(),
        "json_flood": "".join(f"\\u{ord(letter):04x}" for letter in letters).encode(),
        "html_flood": "".join(f"&#{ord(letter)};" for letter in letters).encode(),
        "backslash_flood": b"\\" * SIZE,
    }


def _until(rows: Iterator[str]) -> bytes:
    parts: list[str] = []
    size = 0
    while size < SIZE:
        parts.append(next(rows))
        size += len(parts[-1])
    return "".join(parts).encode()


def _decoys(chance: random.Random) -> Iterator[bytes]:
    """Beginnings of every rendering of every secret, none of them whole."""
    texts = sorted(each.text for name, value in secrets() for each in renderings(name, value))
    size = 0
    while size < SIZE // 4:
        text = chance.choice(texts)
        yield text[: chance.randrange(1, len(text) * 3 // 4)]
        size += len(text) // 2


def megabytes_per_s(redactor: Redactor, body: bytes, piece: int, seconds: float) -> float:
    """Of processor time of this thread. Checks that what holds no secret comes out as it went in."""
    done = 0
    begun = time.thread_time()
    while (spent := time.thread_time() - begun) < seconds or not done:
        stream = StreamRedactor(redactor)
        passed = sum(len(stream.feed(body[at : at + piece])) for at in range(0, len(body), piece))
        assert passed + len(stream.finish()) == len(body), "something was redacted"
        assert stream.count == 0
        done += len(body)
    return done / spent / 1e6


def microseconds(act: Callable[[], object], count: int) -> float:
    begun = time.thread_time()
    for _ in range(count):
        act()
    return (time.thread_time() - begun) / count * 1e6


def one_round(bodies_by_name: dict[str, bytes], milliseconds: int) -> Round:
    needles = secrets()
    redactor = redactor_for(needles)
    seconds = milliseconds / 1000
    figures = {
        f"{name}_mb_per_s": megabytes_per_s(redactor, body, PIECE, seconds) for name, body in bodies_by_name.items()
    }
    figures["json_frames_mb_per_s"] = megabytes_per_s(redactor, bodies_by_name["json"], FRAME, seconds)
    small = bodies_by_name["json"][:SMALL]

    def once() -> None:
        stream = StreamRedactor(redactor)
        stream.feed(small)
        stream.finish()

    packed = gzip.compress(bodies_by_name["json"], 6)
    begun = time.thread_time()
    unpacked = sum(len(piece) for piece in ContentDecoder(["gzip"]).feed(packed))
    figures["gunzip_mb_per_s"] = unpacked / (time.thread_time() - begun) / 1e6
    figures["small_body_p50_us"] = microseconds(once, 300)
    figures["known_scanner_us"] = microseconds(lambda: redactor_for(frozenset(needles)), 300)
    figures["scanner_made_ms"] = microseconds(lambda: Scanner(needles), 3) / 1000
    figures["renderings_count"] = float(sum(len(renderings(name, value)) for name, value in needles))
    return Round(figures=figures)


CHARTS = [
    Chart(
        kind="bars",
        title=f"Responses searched for {SECRETS} secrets, one core",
        names=[f"{name}_mb_per_s" for name in ("json", "json_frames", "html", "text", "base64", "binary")],
        unit="MB/s",
    ),
    Chart(
        kind="bars",
        title="Made to be slow",
        names=[f"{name}_mb_per_s" for name in ("json_slashes", "decoys", "percent", "backslash_flood")],
        unit="MB/s",
    ),
    Chart(
        kind="bars",
        title="Every character escaped",
        names=[f"{name}_mb_per_s" for name in ("percent_flood", "json_flood", "html_flood")],
        unit="MB/s",
    ),
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=5, n=400, n_means="milliseconds that each kind of data is measured for"))
    made = bodies()
    finish("scan", arguments, [one_round(made, arguments.n) for _ in counted("scan", arguments.rounds)], CHARTS)


if __name__ == "__main__":
    main()
