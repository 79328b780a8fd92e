"""Python values to JSON text: results and the arguments of host calls."""

import base64
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import math
import pathlib
import uuid
from collections.abc import Mapping
from typing import Any

from lockgate.text import encoded, repaired

_AS_TEXT = (decimal.Decimal, fractions.Fraction, uuid.UUID, pathlib.PurePath)
_AS_LIST = (collections.deque, range, type({}.keys()), type({}.values()), type({}.items()))
_BINARY = (bytes, bytearray, memoryview)
_ADVICE = {
    "coroutine": "an un-awaited coroutine: use await",
    "Call": "an un-awaited call of a tool: use await",
    "Task": "an un-awaited task: use await",
    "Future": "an un-awaited future: use await",
    "_GatheringFuture": "an un-awaited asyncio.gather: use await",
    "generator": "a generator: use list(...)",
    "async_generator": "an async generator: collect it with [x async for x in ...]",
    "map": "a map object: use list(...)",
    "filter": "a filter object: use list(...)",
    "zip": "a zip object: use list(...)",
    "function": "a function: call it",
    "Response": "an HTTP response: use its .json() or .text",
    "complex": "a complex number: return its .real and .imag",
    "ellipsis": "an Ellipsis",
}
_MAX_DEPTH = 500


class NotJsonError(TypeError):
    """A value that is no JSON; the message says which and where."""


def to_json(value: Any, root: str = "result") -> str:
    """JSON text of a value, always valid UTF-8; raises NotJsonError with the place inside `root`."""
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError):
        # The fast path stops at the first thing it does not know; the slow one knows where it is.
        text = _encode(_plain(value, root, 0, set()))
    try:
        text.encode()
    except UnicodeEncodeError:
        text = repaired(text)
    return text


def size(text: str) -> int:
    """Bytes of a text's UTF-8."""
    return len(text) if text.isascii() else len(encoded(text))


def _convert(value: Any) -> Any:
    """What `json` does not know, in terms of what it knows; NotJsonError if there is none."""
    if isinstance(value, _AS_TEXT):
        return str(value)
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return _sorted(value)
    if isinstance(value, _AS_LIST):
        return list(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise NotJsonError(_refusal(value))


def _sorted(value: Any) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


def _refusal(value: Any) -> str:
    if isinstance(value, _BINARY):
        return f"{type(value).__name__}: use .decode() for text or base64.b64encode(...).decode() for anything else"
    if isinstance(value, BaseException):
        return f"the exception {type(value).__name__}: use str(...) of it"
    name = type(value).__name__
    return _ADVICE.get(name) or f"an object of type {name}: make it a dict, a list, a string or a number"


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_convert).encode


def _plain(value: Any, where: str, depth: int, above: set[int]) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return _integer(value, where)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if id(value) in above:
        raise NotJsonError(f"{where} is no JSON: it contains itself")
    if depth > _MAX_DEPTH:
        raise NotJsonError(f"{where[:200]} is no JSON: nested more than {_MAX_DEPTH} deep")
    if not isinstance(value, (dict, list, tuple)):
        try:
            converted = _convert(value)
        except NotJsonError as error:
            raise NotJsonError(f"{where} is no JSON: {error}") from None
        return _plain(converted, where, depth + 1, above | {id(value)})
    above.add(id(value))
    try:
        if isinstance(value, dict):
            return {
                _key(key, where): _plain(item, f"{where}[{key!r:.80}]", depth + 1, above) for key, item in value.items()
            }
        return [_plain(item, f"{where}[{index}]", depth + 1, above) for index, item in enumerate(value)]
    finally:
        above.discard(id(value))


def _integer(value: int, where: str) -> int:
    try:
        int.__repr__(value)
    except ValueError:
        raise NotJsonError(f"{where} is no JSON: an integer of more than 4300 digits") from None
    return value


def _key(key: Any, where: str) -> Any:
    if key is None or isinstance(key, (str, bool, int)):
        return key
    if isinstance(key, float):
        return repr(key)
    if isinstance(key, (*_AS_TEXT, dt.date, dt.time)):
        return _convert(key)
    if isinstance(key, enum.Enum):
        return _key(key.value, where)
    raise NotJsonError(f"{where} is no JSON: its key {key!r:.80} is a {type(key).__name__}; use str(...)")


def to_base64(data: bytes) -> str:
    """Base64 text of bytes."""
    return base64.b64encode(data).decode()
