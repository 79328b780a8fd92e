"""A part of a JSON value: by JSON Pointer (RFC 6901), and a range of what is there."""

import re
from typing import Any, Final

MOST_PATH: Final = 2_000
_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}")


class NoSuchPartError(ValueError):
    """A path to nowhere; the text says how far it led."""


def part_at(value: Any, path: str) -> Any:
    """The value at a pointer; empty is the whole. Raises NoSuchPartError."""
    if len(path) > MOST_PATH:
        raise NoSuchPartError(f"path has {len(path)} characters; at most {MOST_PATH}")
    if path and not path.startswith("/"):
        raise NoSuchPartError(
            f'path "{path[:100]}" does not begin with "/"; expected a JSON Pointer like /items/0/name'
        )
    for token in path.split("/")[1:]:
        value = _member(value, token.replace("~1", "/").replace("~0", "~"))
    return value


def range_of(value: Any, offset: int, limit: int) -> tuple[Any, int]:
    """`limit` (0: all) items, members or characters from `offset` on, and how many there are. Others stay whole."""
    until = None if not limit else offset + limit
    match value:
        case list() | str():
            return value[offset:until], len(value)
        case dict():
            return dict(list(value.items())[offset:until]), len(value)
    return value, 0


def kind_of(value: Any) -> str:
    """JSON's word for what a value is."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case list():
            return "array"
        case dict():
            return "object"
    return "number"


def _member(value: Any, token: str) -> Any:
    if isinstance(value, dict):
        if token in value:
            return value[token]
        names = ", ".join(list(value)[:10])
        raise NoSuchPartError(f'there is no member "{token[:100]}" on the path; there are {names[:400] or "none"}')
    if isinstance(value, list):
        if _INDEX.fullmatch(token) and int(token) < len(value):
            return value[int(token)]
        raise NoSuchPartError(f'there is no item "{token[:100]}" on the path; there are {len(value)}, counted from 0')
    raise NoSuchPartError(f'the path goes on with "{token[:100]}" after a {kind_of(value)}, which has no parts')
