"""Puts a credential on a request and takes every other one off it. Pure: a request in, a request or a refusal out."""

from .certificate import read_certificate
from .form import inject, needles, needs_body
from .others import without_credentials
from .placeholder import found_in_body, found_in_head
from .value import NotInjectableError

__all__ = [
    "NotInjectableError",
    "found_in_body",
    "found_in_head",
    "inject",
    "needles",
    "needs_body",
    "read_certificate",
    "without_credentials",
]
