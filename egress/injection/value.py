"""What of a secret can be written into a request at all."""

import re

from egress.secrets import Secret

_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


class NotInjectableError(ValueError):
    """A credential that cannot be put on this request; the text says why and never what it is."""

    def __init__(self, text: str, code: str = "secret") -> None:
        super().__init__(text)
        self.code = code


def wire_value(secret: Secret) -> bytes:
    """The secret's bytes, which hold no control character. Raises NotInjectableError."""
    if _CONTROL.search(secret.expose()):
        raise NotInjectableError("has a control character (CR, LF or NUL, say) in its value and is refused")
    return secret.expose()


def text_value(secret: Secret) -> str:
    """The secret as text, which has no control character. Raises NotInjectableError if it is not UTF-8."""
    try:
        return wire_value(secret).decode()
    except UnicodeDecodeError:
        pass
    raise NotInjectableError("is not UTF-8 text, which this form of credential needs")
