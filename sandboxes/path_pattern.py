"""Which paths a rule names: `/a` exactly, `/a/*` (one segment there), `/a/**` (everything below `/a/`)."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator

_SEGMENT = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,=:@]|%[0-9A-F]{2})*")
_AMBIGUOUS = re.compile(r"%(?:2[EF]|5C|00)")


def check_path_pattern(pattern: str) -> str:
    """`/a/b` exactly, `/a/*` one segment there, `/a/**` everything below `/a/`."""
    if not pattern.startswith("/"):
        raise ValueError(f'"{pattern}": a path pattern starts with "/"; write "/{pattern}" or "/**" for every path')
    if "?" in pattern or "#" in pattern:
        raise ValueError(
            f'"{pattern}": a path pattern has no query; write "{re.split("[?#]", pattern, maxsplit=1)[0]}"'
        )
    segments = pattern.split("/")[1:]
    for place, segment in enumerate(segments):
        _check_segment(pattern, segment, last=place == len(segments) - 1)
    return pattern


def _check_segment(pattern: str, segment: str, *, last: bool) -> None:
    if segment == "*" or (segment == "**" and last):
        return
    if segment == "**":
        raise ValueError(f'"{pattern}": "**" is only the last segment; write "*" for each segment before it')
    if "*" in segment:
        raise ValueError(f'"{pattern}": a wildcard is a whole segment; write "*" instead of "{segment}"')
    if segment in {".", ".."} or (not segment and not last):
        raise ValueError(f'"{pattern}": write the path without "{segment or "//"}"; requests with it are refused')
    if not _SEGMENT.fullmatch(segment) or _AMBIGUOUS.search(segment):
        raise ValueError(
            f'"{pattern}": "{segment}" is not a plain path segment; percent-encode it in upper-case hexadecimal'
        )


def path_matches(pattern: str, path: str) -> bool:
    """A canonical path against `/a`, `/a/*` (one segment), `/a/**` (everything below `/a/`)."""
    if pattern in {path, "/**"}:
        return True
    if "*" not in pattern:
        return False
    return _segments_match(_segments(pattern), path.split("/")[1:])


@lru_cache(4096)
def _segments(pattern: str) -> tuple[str, ...]:
    return tuple(pattern.split("/")[1:])


def _segments_match(pattern: tuple[str, ...], path: list[str]) -> bool:
    if pattern[-1] == "**":
        pattern = pattern[:-1]
        return len(path) > len(pattern) and _each_matches(pattern, path)
    return len(pattern) == len(path) and _each_matches(pattern, path)


def _each_matches(pattern: Iterable[str], path: Iterable[str]) -> bool:
    return all(want == got or (want == "*" and got != "") for want, got in zip(pattern, path, strict=False))


def path_covers(pattern: str, other: str) -> bool:
    """Whether `pattern` matches every path that the pattern `other` does."""
    if pattern in {other, "/**"}:
        return True
    wide, below = _segments(pattern), _segments(other)
    if wide[-1] != "**":
        return len(wide) == len(below) and all(map(_segment_covers, wide, below))
    prefix = wide[:-1]
    return len(below) > len(prefix) and all(map(_segment_covers, prefix, below))


def path_meets(pattern: str, other: str) -> bool:
    """Whether some path might match both patterns. Yes where in doubt."""
    one, two = _segments(pattern), _segments(other)
    for mine, theirs in zip(one, two, strict=False):
        if "**" in {mine, theirs}:
            return True
        if mine != theirs and "*" not in {mine, theirs}:
            return False
    return len(one) == len(two) or "**" in {one[-1], two[-1]}


def _segment_covers(wide: str, below: str) -> bool:
    return wide == below if below in {"", "**"} or wide != "*" else True


PathPattern = Annotated[str, AfterValidator(check_path_pattern)]
