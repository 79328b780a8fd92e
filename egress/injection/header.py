"""Credentials in a header: bearer, basic, and any other header with a prefix."""

import base64
from dataclasses import replace

from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.injection import BasicInjection, BearerInjection, HeaderInjection

from .others import canonical_name
from .value import NotInjectableError, wire_value


def bearer(_: BearerInjection, secret: Secret, request: Outgoing) -> Outgoing:
    """`Authorization: Bearer SECRET`."""
    return _with_header(request, b"authorization", b"Bearer " + wire_value(secret))


def basic(injection: BasicInjection, secret: Secret, request: Outgoing) -> Outgoing:
    """`Authorization: Basic` of `user:secret`."""
    return _with_header(request, b"authorization", b"Basic " + base64.b64encode(_userpass(injection, secret)))


def inject(injection: HeaderInjection, secret: Secret, request: Outgoing) -> Outgoing:
    """The named header once, whoever wrote it before."""
    return _with_header(request, injection.name.lower().encode(), injection.prefix.encode() + wire_value(secret))


def basic_needles(injection: BasicInjection, secret: Secret) -> tuple[bytes, ...]:
    """The secret, its password if it is `user:password`, and the header's base64."""
    whole = injection.username is None
    password = secret.expose().partition(b":")[2] if whole else b""
    encoded = base64.b64encode(secret.expose() if whole else f"{injection.username}:".encode() + secret.expose())
    return (secret.expose(), password, encoded)


def _with_header(request: Outgoing, name: bytes, value: bytes) -> Outgoing:
    others = [(other, text) for other, text in request.headers if canonical_name(other) != canonical_name(name)]
    return replace(request, headers=(*others, (name, value)))


def _userpass(injection: BasicInjection, secret: Secret) -> bytes:
    value = wire_value(secret)
    if injection.username is not None:
        return f"{injection.username}:".encode() + value
    if b":" not in value:
        raise NotInjectableError("is not user:password; give the rule a username")
    return value
