"""Puts a credential on a request and takes every other one off it. Pure: a request in, a request or a refusal out."""

from .certificate import read_certificate
from .form import Credentials, inject, needles, needs_body
from .others import without_credentials
from .placeholder import found_in_body, found_in_head
from .sigv4 import preload as preload_signer
from .value import NotInjectableError

__all__ = [
    "Credentials",
    "NotInjectableError",
    "found_in_body",
    "found_in_head",
    "inject",
    "needles",
    "needs_body",
    "preload_signer",
    "read_certificate",
    "without_credentials",
]
