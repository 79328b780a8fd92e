"""Which function puts which form of credential on a request, and what of it must not come back."""

from collections.abc import Callable, Sequence
from typing import Any

from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.injection import (
    BasicInjection,
    BearerInjection,
    CookieInjection,
    HeaderInjection,
    Injection,
    JsonInjection,
    MutualTlsInjection,
    PathInjection,
    PlaceholderInjection,
    QueryInjection,
    SigV4Injection,
)

from . import cookie, header, json_field, path, placeholder, query, sigv4
from .others import canonical_name, without_credentials
from .value import NotInjectableError

type Credentials = Sequence[tuple[Injection, Secret]]
type Needles = tuple[tuple[str, bytes], ...]


def _on_the_connection(_: MutualTlsInjection, __: Secret, request: Outgoing) -> Outgoing:
    """A client certificate is not part of the request."""
    return request


_FORMS: dict[type[Injection], Callable[[Any, Secret, Outgoing], Outgoing]] = {
    BearerInjection: header.bearer,
    BasicInjection: header.basic,
    HeaderInjection: header.inject,
    QueryInjection: query.inject,
    PathInjection: path.inject,
    CookieInjection: cookie.inject,
    JsonInjection: json_field.inject,
    SigV4Injection: sigv4.inject,
    MutualTlsInjection: _on_the_connection,
    PlaceholderInjection: placeholder.inject,
}


def inject(credentials: Credentials, request: Outgoing) -> Outgoing:
    """The request with these credentials and without any other. Raises NotInjectableError, which shows no secret.

    Where `needs_body` says so, `request` must have its whole body.
    """
    made = _bare(tuple(injection for injection, _ in credentials), request)
    for injection, secret in sorted(credentials, key=_turn):
        made = _one(injection, secret, made)
    return made


def _turn(credential: tuple[Injection, Secret]) -> int:
    """Placeholders first, as they are looked for in what the program wrote; a signature is over all of it."""
    injection = credential[0]
    return 0 if isinstance(injection, PlaceholderInjection) else 2 if isinstance(injection, SigV4Injection) else 1


def _one(injection: Injection, secret: Secret, request: Outgoing) -> Outgoing:
    code = "secret"
    try:
        return _FORMS[type(injection)](injection, secret, request)
    except NotInjectableError as error:
        fault, code = f'secret "{secret.name}" {error}', error.code
    except Exception as error:  # noqa: BLE001 - its frames hold the value, so neither they nor its text go on
        fault = f'secret "{secret.name}" could not be added ({type(error).__name__})'
    raise NotInjectableError(fault, code)


def _bare(injections: tuple[Injection, ...], request: Outgoing) -> Outgoing:
    """Without credentials of its own, but for placeholders to replace where nothing else is put."""
    words = [each.text for each in injections if isinstance(each, PlaceholderInjection)]
    taken = {place for each in injections for place in each.takes()}

    def stays(name: bytes, value: bytes) -> bool:
        place = f"header {canonical_name(name).decode('latin-1')}"
        return place not in taken and placeholder.holds(words, value)

    return without_credentials(request, stays, lambda part: any(word in part for word in words))


def needs_body(injection: Injection, request: Outgoing) -> bool:
    """Whether the request must be held until its body is whole. `request` is the head, its body not known yet."""
    match injection:
        case JsonInjection() | SigV4Injection():
            return True
        case PlaceholderInjection():
            return placeholder.needs_body(injection, request)
    return False


def needles(injection: Injection, secret: Secret) -> Needles:
    """Each byte string that an answer must not hold: the secret, and what it looks like where it is put."""
    match injection:
        case MutualTlsInjection():
            return ()
        case SigV4Injection():
            found = sigv4.needles(injection, secret)
        case BasicInjection():
            found = header.basic_needles(injection, secret)
        case QueryInjection() | PathInjection() | PlaceholderInjection():
            found = (secret.expose(), query.quoted(secret.expose()))
        case _:
            found = (secret.expose(),)
    return tuple((secret.name, needle) for needle in dict.fromkeys(found) if needle)
