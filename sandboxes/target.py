"""One strict reading of a request's path. A path that servers could read in two ways is refused, not repaired."""

import re
from dataclasses import dataclass

_ALLOWED = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,=:@/%]*")
_QUERY = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?%\[\]|^`{}\"<>]*")
_TRIPLET = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = re.compile(r"[A-Za-z0-9\-_~]")
# Decoded once, these would be a separator, a parent, an end of string, or a second layer of encoding.
_TWO_READINGS = {"2E": "an encoded dot", "2F": "an encoded slash", "5C": "an encoded backslash", "00": "an encoded NUL"}
_LAYERED = re.compile(r"%25(?:2[EeFf5]|5[Cc]|00)")


@dataclass(frozen=True, slots=True)
class Target:
    """A canonical path and the query as it came (None: no `?`)."""

    path: str
    query: str | None

    def __str__(self) -> str:
        return self.path if self.query is None else f"{self.path}?{self.query}"

    def shown(self) -> str:
        """For records: query values removed, names kept."""
        if self.query is None:
            return self.path
        names = [part.partition("=")[0][:64] for part in re.split("[&;]", self.query)]
        return f"{self.path}?{'&'.join(f'{name}=*' for name in names)}"


def parse_target(text: str) -> Target:
    """Origin-form (RFC 9112 section 3.2.1) to its one canonical spelling. Raises ValueError saying what is wrong."""
    path, mark, query = text.partition("?")
    if mark and not _QUERY.fullmatch(query):
        raise ValueError("the query has characters that must be percent-encoded")
    return Target(normalise_path(path), query if mark else None)


def normalise_path(path: str) -> str:
    """The canonical spelling of an absolute path: upper-case triplets, unreserved characters decoded."""
    if not path.startswith("/"):
        raise ValueError('the path does not start with "/"')
    if "\\" in path or ";" in path:
        raise ValueError('the path has a "\\" or ";", which servers read in different ways')
    if not _ALLOWED.fullmatch(path):
        raise ValueError("the path has characters that must be percent-encoded")
    canonical = _TRIPLET.sub(_canonical_triplet, path)
    if _LAYERED.search(canonical):
        raise ValueError("the path is percent-encoded twice")
    segments = canonical.split("/")[1:]
    if "." in segments or ".." in segments:
        raise ValueError('the path has "." or ".." segments; send it resolved')
    if "" in segments[:-1]:
        raise ValueError('the path has an empty segment ("//")')
    return canonical


def _canonical_triplet(match: re.Match[str]) -> str:
    digits = (match[1] or "").upper()
    if not digits:
        raise ValueError('the path has a "%" that encodes nothing')
    if digits in _TWO_READINGS:
        raise ValueError(f"the path has {_TWO_READINGS[digits]}")
    character = chr(int(digits, 16))
    if ord(character) < 0x20 or ord(character) == 0x7F:  # noqa: PLR2004 - the ASCII control characters
        raise ValueError("the path has an encoded control character")
    return character if _UNRESERVED.fullmatch(character) else f"%{digits}"
