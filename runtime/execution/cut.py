"""A JSON value cut to a budget of bytes: still valid JSON, with counts of what was left out in the places it was.

Arrays end in `"... 7 more items"`, strings in `... (7 more characters)`, objects in a member `"..."`. Nothing is
changed but by leaving out.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

LEAST_BYTES: Final = 256
MOST_OMISSIONS: Final = 50
MORE: Final = "..."
"""The member of an object that says how many were left out."""

# Room for a marker with any count that fits in memory.
_MARKER: Final = 48
_FEW: Final = 8
# Less than this shows nothing of a value.
_LEAST_SHARE: Final = 40
_MOST_LEVELS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Omission:
    """Something left out. `path` is a JSON Pointer, `kind` is items, members or characters."""

    path: str
    kind: str
    shown: int
    left_out: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """The JSON text, and what it does not have."""

    text: str
    omissions: tuple[Omission, ...]


def cut(value: Any, most_bytes: int) -> Cut:
    """`value` as JSON of at most `most_bytes` (LEAST_BYTES or more) of UTF-8."""
    cutter = _Cutter()
    text = json_text(cutter.cut(value, max(most_bytes, LEAST_BYTES), "", 0))
    return Cut(text=text, omissions=tuple(cutter.omissions))


def json_text(value: Any) -> str:
    """Compact JSON; half of a surrogate pair, which is no text, becomes a question mark."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if text.isascii() else text.encode(errors="replace").decode()


def size(value: Any, most: int) -> int:
    """Bytes of a value's JSON; more than `most` as soon as that is certain, so that the cost is bounded, too."""
    match value:
        case str():
            return len(value) if len(value) > most else len(json_text(value).encode())
        case list() | dict():
            total = 1 if value else 2  # a bracket more than commas
            for part in _parts(value):
                total += 1 + size(part, most - total)
                if total > most:
                    return total
            return total
    return len(json_text(value))


def _parts(value: list[Any] | dict[str, Any]) -> Iterator[Any]:
    if isinstance(value, list):
        yield from value
        return
    for key, member in value.items():
        yield key
        yield member


class _Cutter:
    def __init__(self) -> None:
        self.omissions: list[Omission] = []

    def cut(self, value: Any, most: int, path: str, level: int) -> Any:
        """`value` in at most `most` bytes; `most` is at least _LEAST_SHARE."""
        if size(value, most) <= most:
            return value
        if isinstance(value, str):
            return self._string(value, most, path)
        if level >= _MOST_LEVELS or most < 2 * _MARKER:
            return self._nothing(value, path)
        if isinstance(value, dict):
            return self._object(value, most, path, level)
        if isinstance(value, list):
            return self._few(value, most, path, level) if len(value) <= _FEW else self._array(value, most, path, level)
        return self._nothing(value, path)

    def _left(self, path: str, kind: str, shown: int, left_out: int) -> None:
        self.omissions.append(Omission(path=path, kind=kind, shown=shown, left_out=left_out))

    def _string(self, value: str, most: int, path: str) -> str:
        kept = value[: max(0, most - _MARKER)]
        while kept and len(json_text(kept).encode()) > most - _MARKER:
            kept = kept[: len(kept) * 3 // 4]
        left = len(value) - len(kept)
        self._left(path, "characters", len(kept), left)
        return f"{kept}... ({left} more characters)"

    def _nothing(self, value: Any, path: str) -> str:
        """Where there is no room, or too deep: what it is and how much."""
        if isinstance(value, dict):
            self._left(path, "members", 0, len(value))
            return f"... {len(value)} members"
        if isinstance(value, list):
            self._left(path, "items", 0, len(value))
            return f"... {len(value)} items"
        digits = len(json_text(value))
        self._left(path, "characters", 0, digits)
        return f"... {digits} digits"

    def _array(self, value: list[Any], most: int, path: str, level: int) -> list[Any]:
        """As many of the first items as fit whole; if none does, the first one cut."""
        room = most - _MARKER
        kept: list[Any] = []
        for item in value:
            needed = size(item, room) + 1
            if needed > room:
                break
            kept.append(item)
            room -= needed
        if not kept:
            kept.append(self.cut(value[0], room, f"{path}/0", level + 1))
        left = len(value) - len(kept)
        self._left(path, "items", len(kept), left)
        return [*kept, f"... {left} more items"]

    def _few(self, value: list[Any], most: int, path: str, level: int) -> list[Any]:
        """Every item of a short array gets its share."""
        wanted = [size(item, most) for item in value]
        shares = _shares(wanted, most - 2 - len(value))
        if any(share < min(want, _LEAST_SHARE) for share, want in zip(shares, wanted, strict=True)):
            return self._array(value, most, path, level)
        pairs = zip(value, shares, strict=True)
        return [self.cut(item, share, f"{path}/{index}", level + 1) for index, (item, share) in enumerate(pairs)]

    def _object(self, value: dict[str, Any], most: int, path: str, level: int) -> dict[str, Any] | str:
        """As many of the first members as have room for something; each of them gets its share."""
        names: list[str] = []
        room = most - _MARKER
        for name in islice(value, most):
            needed = size(name, room) + 2 + min(_LEAST_SHARE, size(value[name], _LEAST_SHARE))
            # The marker must not be taken for a member.
            if needed > room or (name == MORE and len(value) > 1):
                break
            room -= needed
            names.append(name)
        left = len(value) - len(names)
        if not names:
            return self._nothing(value, path)
        spent = sum(size(name, most) + 2 for name in names)
        shares = _shares([size(value[name], most) for name in names], most - _MARKER - spent)
        kept = {
            name: self.cut(value[name], share, f"{path}/{_escaped(name)}", level + 1)
            for name, share in zip(names, shares, strict=True)
        }
        if left:
            self._left(path, "members", len(names), left)
            kept[MORE] = f"{left} more members"
        return kept


def _shares(wanted: list[int], room: int) -> list[int]:
    """Room for each: what it wants, if that is no more than an equal part of what is left."""
    shares = [0] * len(wanted)
    left = len(wanted)
    for index in sorted(range(len(wanted)), key=wanted.__getitem__):
        shares[index] = min(wanted[index], room // left)
        room -= shares[index]
        left -= 1
    return shares


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
