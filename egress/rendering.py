"""How text may carry a secret: the byte strings that a reader of the text would turn back into it. Pure."""

import base64
import binascii
from dataclasses import dataclass

# Shorter renderings than this would be found in text that has nothing to do with the secret.
SHORTEST_DERIVED = 6


@dataclass(frozen=True, slots=True)
class Rendering:
    """One spelling of a secret. `wraps`: line breaks inside it do not change what it says (base64, hexadecimal)."""

    name: str
    text: bytes
    wraps: bool = False


def renderings(name: str, value: bytes) -> set[Rendering]:
    """The value as it is, in UTF-16, in base64 at its three alignments and in hexadecimal.

    Escapes that spell single characters (percent, JSON, HTML) are not listed: readings undo them.
    """
    plain = {Rendering(name, value), *(Rendering(name, text) for text in _other_text(value))}
    coded = {text for text in (*_base64(value), *_hexadecimal(value)) if len(text) >= SHORTEST_DERIVED}
    return plain | {Rendering(name, text, wraps=True) for text in coded}


def _other_text(value: bytes) -> set[bytes]:
    """The same characters in UTF-16 and UTF-32, and with `+` for a space as forms write it."""
    found = {value.replace(b" ", b"+")} - {value}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        return found
    return found | {text.encode(coding) for coding in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be")}


def _base64(value: bytes) -> set[bytes]:
    """Base64 characters that depend on the value alone, wherever it begins within a longer encoded text.

    Up to four bits of its first and of its last byte share a character with their neighbours, which is left out.
    """
    found: set[bytes] = set()
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + value)
        own = encoded[-(-before * 8 // 6) : (before + len(value)) * 8 // 6]
        found |= {own, own.translate(bytes.maketrans(b"+/", b"-_"))}
    padded = base64.b64encode(value)
    for whole in (padded, padded.rstrip(b"=")):
        found |= {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def _hexadecimal(value: bytes) -> set[bytes]:
    lower = binascii.hexlify(value)
    return {lower, lower.upper()}
