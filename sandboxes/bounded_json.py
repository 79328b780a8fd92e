"""JSON from programs and clients, measured before it is decoded: a megabyte of `[],[],...` takes a hundred."""

import json
from array import array
from itertools import accumulate
from typing import Any

MOST_VALUES = 100_000
"""JSON values in one text, unless told otherwise: some ten megabytes of Python objects."""
MOST_ANSWER_VALUES = 1_000_000
"""In an upstream's answer; what has more stays text, which a program can decode in its own memory."""
MOST_DEPTH = 500
"""Arrays and objects within each other. Code that walks what was decoded gets by with Python's own stack."""

_DROPPED = bytes(set(range(256)) - set(b'",[]{}'))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")


class JsonBoundError(ValueError):
    """JSON with more values, or deeper, than is decoded here. The text says which bound and what to do."""


def loads(text: str, *, most_values: int = MOST_VALUES, most_depth: int = MOST_DEPTH, **options: Any) -> Any:
    """As json.loads, within bounds. Raises JsonBoundError before anything is built, ValueError for what is no JSON."""
    check_bounds(text, most_values, most_depth)
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise JsonBoundError(f"JSON nested more than {most_depth} deep") from None


def no_constant(name: str) -> Any:
    """As `parse_constant`: NaN and Infinity, which Python reads, are no JSON. Raises ValueError."""
    raise ValueError(f"{name} is not JSON")


def check_bounds(text: str, most_values: int = MOST_VALUES, most_depth: int = MOST_DEPTH) -> None:
    """Raise JsonBoundError unless the text, if it is JSON at all, holds few enough values, nested not too deeply."""
    opened = text.count("[") + text.count("{")
    if opened <= most_depth and opened + text.count(",") <= most_values:
        return
    structure = _structure(text)
    opened = structure.count(b"[") + structure.count(b"{")
    if opened + structure.count(b",") > most_values:
        raise JsonBoundError(f"JSON of more than {most_values} values; send less, or in parts")
    if opened > most_depth and _depth(structure) > most_depth:
        raise JsonBoundError(f"JSON nested more than {most_depth} deep")


def _structure(text: str) -> bytes:
    """The brackets and commas outside of strings. A text for which this is wrong is no JSON from there on."""
    data = text.encode(errors="replace").replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(data.translate(None, _DROPPED).split(b'"')[::2])


def _depth(structure: bytes) -> int:
    return max(accumulate(array("b", structure.translate(_STEPS, b","))), default=0)
