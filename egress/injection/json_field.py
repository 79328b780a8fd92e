"""A credential in a field of a JSON body. Only that field's bytes change: numbers and order stay as they were sent."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.injection import JsonInjection

from .value import NotInjectableError, text_value

_SPACE = re.compile(r"[ \t\n\r]*")
_JSON_TYPE = re.compile(rb"application/(?:[a-z0-9.+-]+\+)?json[ \t]*(?:;.*)?", re.IGNORECASE)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Member:
    """A member of an object or an item of an array: its name, and where its value stands in the text."""

    name: str
    start: int
    end: int


def inject(injection: JsonInjection, secret: Secret, request: Outgoing) -> Outgoing:
    """The body with the field. Raises NotInjectableError if there is no JSON that has the place for it."""
    if not is_json(request.headers):
        raise NotInjectableError("goes into a JSON body, and the request's content-type is not application/json")
    text = _document(request.body)
    names = [part.replace("~1", "/").replace("~0", "~") for part in injection.pointer.split("/")[1:]]
    return replace(request, body=_set(text, names, json.dumps(text_value(secret))).encode())


def is_json(headers: tuple[tuple[bytes, bytes], ...]) -> bool:
    """Whether the one Content-Type says JSON."""
    said = [value.strip() for name, value in headers if name.lower() == b"content-type"]
    return len(said) == 1 and _JSON_TYPE.fullmatch(said[0]) is not None


def _document(body: bytes) -> str:
    try:
        text = body.decode()
        json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        pass
    else:
        return text
    raise NotInjectableError("goes into a JSON body, and the request's body is not JSON in UTF-8")


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _set(text: str, names: list[str], value: str) -> str:
    start = _skip(text, 0)
    for depth, name in enumerate(names):
        if text[start] not in "{[":
            raise NotInjectableError(f'goes to "{"/".join(["", *names])}", and above it is no object or list')
        found = [member for member in _members(text, start) if member.name == name]
        if len(found) > 1:
            raise NotInjectableError(f'goes to "{name}", which the body has twice')
        if not found:
            return _added(text, start, names[depth:], value)
        if depth == len(names) - 1:
            return text[: found[0].start] + value + text[found[0].end :]
        start = found[0].start
    raise AssertionError("a pointer has at least one name")


def _added(text: str, start: int, names: list[str], value: str) -> str:
    """The object at `start` with a new first member, made of objects down to the last name."""
    if text[start] == "[":
        raise NotInjectableError(f'goes to item "{names[0][:20]}" of a list that has none')
    for name in reversed(names[1:]):
        value = f"{{{json.dumps(name)}:{value}}}"
    behind = _skip(text, start + 1)
    comma = "" if text[behind] == "}" else ","
    return f"{text[: start + 1]}{json.dumps(names[0])}:{value}{comma}{text[start + 1 :]}"


def _members(text: str, start: int) -> Iterator[_Member]:
    """What the object or array at `start` holds; the text is known to be valid JSON."""
    place, count, is_object = _skip(text, start + 1), 0, text[start] == "{"
    while text[place] not in "}]":
        name = str(count)
        if is_object:
            name, place = _DECODER.raw_decode(text, place)
            place = _skip(text, _skip(text, place) + 1)
        _, end = _DECODER.raw_decode(text, place)
        yield _Member(name, place, end)
        count += 1
        place = _skip(text, end)
        if text[place] == ",":
            place = _skip(text, place + 1)


def _skip(text: str, place: int) -> int:
    match = _SPACE.match(text, place)
    assert match is not None
    return match.end()
