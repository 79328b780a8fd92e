"""A credential in a cookie."""

import re
from dataclasses import replace

from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.injection import CookieInjection

from .value import NotInjectableError, wire_value

_VALUE = re.compile(rb"[\x21\x23-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]*")  # RFC 6265 section 4.1.1


def inject(injection: CookieInjection, secret: Secret, request: Outgoing) -> Outgoing:
    """The one cookie of the request."""
    value = wire_value(secret)
    if not _VALUE.fullmatch(value):
        raise NotInjectableError("has a character that no cookie may hold, such as a space, a comma or a semicolon")
    return replace(request, headers=(*request.headers, (b"cookie", injection.name.encode() + b"=" + value)))
