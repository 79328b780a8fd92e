"""Edits by which an approver makes a call smaller: a number nearer to zero, fewer items of a list. Nothing else.

Whether a smaller number or a shorter list means less is for the approver to judge; the rules decide over the edited
call again.
"""

import copy
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MOST_EDITS: Final = 50
_INDEX_DIGITS: Final = 9


class NotNarrowerError(ValueError):
    """An edit that does not narrow; the text says which and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edit:
    """At a JSON Pointer: another number, or only the items at `keep`, in order, of the list there."""

    path: str
    value: int | float | None = None
    keep: tuple[int, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        told: dict[str, Any] = {"path": self.path}
        return {**told, "value": self.value} if self.keep is None else {**told, "keep": list(self.keep)}


def edits_json(edits: Sequence[Edit]) -> str:
    """As they are kept; empty for none."""
    return json.dumps([edit.to_json() for edit in edits]) if edits else ""


def edits_of(text: str) -> tuple[Edit, ...]:
    """The inverse of `edits_json`. Raises ValueError."""
    return tuple(
        Edit(path=each["path"], value=each.get("value"), keep=tuple(each["keep"]) if "keep" in each else None)
        for each in (json.loads(text) if text else [])
    )


def edit_of(arguments: Mapping[str, Any], path: str, wanted: Any) -> Edit:
    """The edit that puts `wanted` at `path`. Raises NotNarrowerError."""
    before = _at(arguments, path)
    if isinstance(before, list) and isinstance(wanted, list):
        return Edit(path=path, keep=_kept(before, wanted, path))
    edit = Edit(path=path, value=wanted if _is_number(wanted) else None)
    if edit.value is None:
        raise NotNarrowerError(f"{path}: only a number can become a smaller one, and a list a shorter one")
    _check_number(before, edit)
    return edit


def narrowed(arguments: Mapping[str, Any], edits: Sequence[Edit]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments as edited, and each edit in words. Raises NotNarrowerError."""
    if len(edits) > MOST_EDITS:
        raise NotNarrowerError(f"{len(edits)} edits; at most {MOST_EDITS}")
    result = copy.deepcopy(dict(arguments))
    return result, tuple(_apply(result, edit) for edit in edits)


def _apply(result: dict[str, Any], edit: Edit) -> str:
    holder, key = _holder(result, edit.path)
    before = holder[key]
    if edit.keep is None:
        _check_number(before, edit)
        holder[key] = edit.value
        return f"{edit.path} was {before} and is {edit.value}"
    if not isinstance(before, list) or not _rising(edit.keep, len(before)):
        raise NotNarrowerError(f"{edit.path}: the list is not the one that was shown")
    holder[key] = [before[index] for index in edit.keep]
    return f"{edit.path} had {len(before)} items and has {len(edit.keep)}"


def _check_number(before: Any, edit: Edit) -> None:
    after = edit.value
    if not _is_number(before) or not _is_number(after):
        raise NotNarrowerError(f"{edit.path}: is not a number")
    if isinstance(before, int) and not isinstance(after, int):
        raise NotNarrowerError(f"{edit.path}: is a whole number, and so is what may stand in its place")
    low, high = min(0, before), max(0, before)
    if not low <= after <= high:
        raise NotNarrowerError(f"{edit.path}: {after} is not between 0 and {before}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kept(before: list[Any], wanted: list[Any], path: str) -> tuple[int, ...]:
    """Where each wanted item stands in the list, in its order."""
    spelled = [json.dumps(each, sort_keys=True) for each in before]
    kept: list[int] = []
    start = 0
    for each in wanted:
        try:
            start = spelled.index(json.dumps(each, sort_keys=True), start) + 1
        except ValueError:
            raise NotNarrowerError(f"{path}: only items of the list may stay, in their order") from None
        kept.append(start - 1)
    return tuple(kept)


def _rising(keep: tuple[int, ...], length: int) -> bool:
    return all(0 <= index < length for index in keep) and all(a < b for a, b in itertools.pairwise(keep))


def _at(arguments: Mapping[str, Any], path: str) -> Any:
    holder, key = _holder(arguments, path)
    return holder[key]


def _holder(value: Any, path: str) -> tuple[Any, Any]:
    """What holds the value at a pointer, and under which key. Raises NotNarrowerError."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in path.split("/")[1:]]
    if not path.startswith("/"):
        raise NotNarrowerError(f'"{path[:80]}" is not a JSON Pointer such as /amount')
    holder: Any = {"": value}
    key: Any = ""
    for part in parts:
        holder, key = holder[key], part
        if isinstance(holder, list) and part.isascii() and part.isdigit() and len(part) <= _INDEX_DIGITS:
            key = int(part)
        inside = key in holder if isinstance(holder, Mapping) else isinstance(key, int) and key < len(holder)
        if not inside:
            raise NotNarrowerError(f'there is nothing at "{path[:80]}"')
    return holder, key
