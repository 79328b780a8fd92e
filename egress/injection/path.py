"""A credential that is a segment of the path."""

from dataclasses import replace

from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.injection import PathInjection

from .query import quoted
from .value import NotInjectableError, wire_value


def inject(injection: PathInjection, secret: Secret, request: Outgoing) -> Outgoing:
    """The path with one segment more, at the named position."""
    segments = request.path.split("/")[1:]
    place = injection.position - 1
    if place > len(segments) or (place == len(segments) and segments[-1] == ""):
        raise NotInjectableError(f"becomes path segment {injection.position}, and the request's path is too short")
    segment = injection.prefix + path_text(wire_value(secret))
    if segments == [""]:
        segments = []
    return replace(request, path="/" + "/".join([*segments[:place], segment, *segments[place:]]))


def path_text(value: bytes) -> str:
    """As part of a path segment. Raises NotInjectableError for what a server might read as more than one."""
    if value in {b".", b".."} or b"/" in value or b"\\" in value or b";" in value or b"%" in value:
        raise NotInjectableError('has a "/", "\\", ";" or "%" in its value, which servers read in different ways')
    return quoted(value).decode()
