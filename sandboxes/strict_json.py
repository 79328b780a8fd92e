"""JSON that has one reading: UTF-8, no name twice in an object, no NaN, nothing after it."""

import json
from typing import Any

from .bounded_json import loads

MOST_DEPTH = 64


def parse_strict(data: bytes) -> Any:
    """The value. Raises ValueError saying what is wrong, without quoting it."""
    try:
        return loads(data.decode(), most_depth=MOST_DEPTH, object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the body is not JSON: {error.msg} at character {error.pos}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("the body's JSON has a name twice in one object")
    return made


def _constant(_: str) -> Any:
    raise ValueError("the body's JSON has NaN or Infinity")
