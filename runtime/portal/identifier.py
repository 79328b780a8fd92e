"""Names a program can write: from whatever an upstream calls its tools and arguments to safe identifiers."""

import hashlib
import keyword
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Final

MAX_LENGTH: Final = 96

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_OTHER = re.compile(r"[^A-Za-z0-9]+")

# Words neither language lets a program write, and members every JavaScript object or promise already has:
# a tool called `then` would make its upstream look like a promise.
_JAVASCRIPT = frozenset(
    re.findall(
        r"\w+",
        "arguments await break case catch class const continue debugger default delete do else enum eval "
        "export extends false finally for function if implements import in instanceof interface let new null "
        "package private protected public return static super switch this throw true try typeof undefined var "
        "void while with yield",
    )
)
_MEMBERS = frozenset(
    re.findall(
        r"\w+",
        "apply bind call caller constructor hasOwnProperty isPrototypeOf propertyIsEnumerable prototype then "
        "toJSON toLocaleString toString valueOf",
    )
)
RESERVED: Final = _JAVASCRIPT | _MEMBERS | frozenset(keyword.kwlist)
# An argument is a key of an object in JavaScript, where every word will do, and a keyword in Python.
RESERVED_ARGUMENTS: Final = frozenset(keyword.kwlist) | {"constructor", "toString", "valueOf"}


def identifier(name: str, *, joined: str = "", reserved: frozenset[str] = RESERVED) -> str:
    """A safe identifier for `name`, the same every time.

    A plain ASCII identifier stays as it is (`get_weather`). Otherwise the parts are joined in camel case
    (`issues/list-for-repo` to `issuesListForRepo`), or by `joined` where it is given. Reserved words get a
    trailing `_`, leading underscores go, and letters that had to be dropped leave a short hash behind.
    """
    safe, lossy = _ascii(name)
    words = [word for word in _OTHER.split(safe) if word]
    plain = not lossy and _PLAIN.fullmatch(safe) is not None
    result = safe if plain else joined.join(words) if joined else _camel(words)
    if not result:
        result, lossy = "tool", True
    if result[0].isdigit():
        result = f"n{result}"
    if len(result) > MAX_LENGTH:
        result, lossy = result[: MAX_LENGTH - 7], True
    if lossy:
        result = f"{result}_{short_hash(name)}"
    return f"{result}_" if result in reserved else result


def distinct_identifiers(
    names: Sequence[tuple[str, str]], *, joined: str = "", reserved: frozenset[str] = RESERVED
) -> list[str]:
    """One identifier for each (name, key), all different, whatever the order.

    A name that needed no change keeps it. Others that would clash get a short hash of their key, which
    tells two things of the same name apart (a method and path, say).
    """
    wanted = [identifier(name, joined=joined, reserved=reserved) for name, _ in names]
    counts = Counter(wanted)
    exact = Counter(name for (name, _), safe in zip(names, wanted, strict=True) if name == safe)
    result: list[str] = []
    taken: set[str] = set()
    for (name, key), safe in zip(names, wanted, strict=True):
        alone = counts[safe] == 1 or (name == safe and exact[safe] == 1)
        unique = safe if alone else f"{safe}_{short_hash(key)}"
        result.append(_untaken(unique, key, taken))
        taken.add(result[-1])
    return result


def short_hash(text: str) -> str:
    """Six hexadecimal digits that stand for `text`."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]


def split_words(name: str) -> list[str]:
    """`issuesListForRepo` and `HTTPServer_2` to their words, lower case."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+", " ", name)
    return spaced.lower().split()


def _ascii(name: str) -> tuple[str, bool]:
    """`name` with accents taken off and foreign letters dropped; whether any letter was dropped."""
    decomposed = unicodedata.normalize("NFKD", name)
    kept = [" " if not c.isalnum() and not c.isascii() else c for c in decomposed if not unicodedata.combining(c)]
    text = "".join(c for c in kept if c.isascii())
    lossy = len(text) != len(kept)
    return text.strip("_") if text.startswith("_") else text, lossy


def _camel(words: list[str]) -> str:
    if not words:
        return ""
    first = words[0]
    head = first.lower() if first.isupper() else first[0].lower() + first[1:]
    return head + "".join(word[0].upper() + word[1:] for word in words[1:])


def _untaken(name: str, key: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 2
    while f"{name}_{short_hash(f'{key} {number}')}" in taken:
        number += 1
    return f"{name}_{short_hash(f'{key} {number}')}"
