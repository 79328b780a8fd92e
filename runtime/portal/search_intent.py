"""What a question wants done: to read one thing, to read several, to change something, or to take it away. Pure.

"Members of a team" wants a list, "lock a conversation" a change: a tool that does another kind of thing is rarely
meant, whatever words it shares with the question. Words of English alone; where they say nothing, the order stays.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text))


_CHANGES: Final = _words(
    "add append approve assign change create edit enable execute generate give grant insert install invite launch"
    " lock make mark merge modify move mute pay post press protect publish push put rename reply resolve restore"
    " save schedule send set submit subscribe transfer trigger turn unlock update upload write"
)
"""Verbs that change something wherever they stand."""
_CHANGES_IN_FRONT: Final = _words(
    "apply attach book build buy commit complete configure connect convert copy deploy fill follow fork import join"
    " leave limit link log map migrate new open order pause pin ping play record refund register rerun resend"
    " respond resume retry revert rotate run scale share sign star start sync tag test type watch"
)
"""Words that are verbs only where a question begins with them: "star a repository", but "gists I starred"."""
_REMOVES: Final = _words(
    "ban block clear deactivate delete destroy detach disable discard dismiss drop erase forget off reject remove"
    " revoke suspend unassign unfollow uninstall unlink unpin unstar unsubscribe"
)
_MAY_REMOVE: Final = _words("abort archive cancel close end replace reset stop terminate undo void withdraw")
"""What they take away, or whether they do, depends on the thing: to cancel a meeting is to delete its event."""
_LISTS: Final = _words("all browse enumerate list search find query")
_READS: Final = _LISTS | _words(
    "check compare count describe download explain export fetch get has is lookup preview read show view"
)
_VERBS: Final = _CHANGES | _REMOVES | _MAY_REMOVE | _READS
_ONE: Final = _words("a an one single")


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """`writes`: it changes something; `removes`: it takes away; both None if not known; `many`: it reads several."""

    writes: bool | None
    removes: bool | None
    many: bool


def intent_of(query: Sequence[str]) -> Intent:
    """Of the words of a question, in their order and in lower case."""
    removes = any(word in _REMOVES for word in query)
    begins = query[0] if query else ""
    unsure = not removes and any(word in _MAY_REMOVE for word in query)
    writes = removes or unsure or begins in _CHANGES_IN_FRONT or any(word in _CHANGES for word in query)
    several = any(word in _LISTS or _is_plural(word) for word in query) and begins not in _ONE
    return Intent(writes=writes, removes=None if unsure else removes, many=several and not writes)


def intent_of_tool(name: Sequence[str], summary: Sequence[str], *, read_only: bool) -> Intent:
    """Of a tool, by the verb its summary begins with or its name has; without one, only what is sure is told."""
    words = (*summary[:1], *name)
    verb = next((word for word in words if word in _VERBS), "")
    writes = False if read_only or verb in _READS else verb != "" or None
    removes = None if verb in _MAY_REMOVE else not read_only and verb in _REMOVES
    return Intent(writes=writes, removes=removes, many=any(word in _LISTS for word in words))


def _is_plural(word: str) -> bool:
    return len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is"))  # noqa: PLR2004
