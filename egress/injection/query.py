"""A credential in a query parameter."""

from dataclasses import replace
from urllib.parse import quote

from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.injection import QueryInjection

from .others import parameter_name, without_parameters
from .value import wire_value


def inject(injection: QueryInjection, secret: Secret, request: Outgoing) -> Outgoing:
    """The parameter once, at the end; others of its name go, however they were spelt."""
    name = injection.name
    rest = without_parameters(request.query, lambda part: parameter_name(part) == name.lower())
    own = f"{quote(name, safe='')}={quoted(wire_value(secret)).decode()}"
    return replace(request, query=f"{rest}&{own}" if rest else own)


def quoted(value: bytes) -> bytes:
    """Percent-encoded, so that it is one value wherever it stands in a URL."""
    return quote(value, safe="").encode()
