"""One strict reading of a query: what servers could read in two ways is refused, not repaired."""

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

_BROKEN_TRIPLET = re.compile(r"%(?![0-9A-Fa-f]{2})")
MAX_PARAMETERS = 1_000


def parse_query(query: str | None) -> tuple[tuple[str, str], ...]:
    """Names and values in order, decoded once. Raises ValueError saying what has two readings."""
    if not query:
        return ()
    if ";" in query:
        raise ValueError('the query has a ";", which some servers read as a separator; write %3B')
    if "+" in query:
        raise ValueError('the query has a "+", which some servers read as a space; write %20 or %2B')
    if _BROKEN_TRIPLET.search(query):
        raise ValueError('the query has a "%" that encodes nothing; write %25')
    parts = [part for part in query.split("&") if part]
    if len(parts) > MAX_PARAMETERS:
        raise ValueError(f"the query has more than {MAX_PARAMETERS} parameters")
    return tuple(_parameter(part) for part in parts)


def _parameter(part: str) -> tuple[str, str]:
    name, _, value = part.partition("=")
    pair = (_decoded(name), _decoded(value))
    if not pair[0]:
        raise ValueError("the query has a parameter without a name")
    return pair


def _decoded(text: str) -> str:
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValueError("the query is not UTF-8 once decoded") from None
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in decoded):  # noqa: PLR2004 - ASCII controls
        raise ValueError("the query has an encoded control character")
    return decoded


def single_values(parameters: tuple[tuple[str, str], ...], wanted: frozenset[str]) -> Mapping[str, str]:
    """The value of each wanted parameter that is there.

    Raises ValueError if one is there twice, or if another is spelt so that some server would take it for one:
    `Q`, `q[]`, `q[0]` and `q.x` for `q`.
    """
    spellings = {_spelling(name) for name in wanted}
    containers = {_container(name) for name in wanted}
    found: dict[str, str] = {}
    for name, value in parameters:
        if name in found:
            raise ValueError(f'the query has the parameter "{name}" twice')
        if name in wanted:
            found[name] = value
        elif _spelling(name) in spellings | containers or _container(name) in spellings:
            raise ValueError("the query has a parameter that some servers take for one the rule constrains")
    return found


def _spelling(name: str) -> str:
    """What is left of a name for the server that is least exact about it."""
    return re.sub(r"[ .]", "_", name.strip().casefold())


def _container(name: str) -> str:
    """What `q[0]` and `q.x` are parts of."""
    return re.split(r"[\[.]", name.strip().casefold(), maxsplit=1)[0]
