"""The program around a call: nobody tells the line a call was made in, so the lines that name its tool are marked."""

import re
from typing import Final

from runtime.governance.approval_request import ShownLine
from sandboxes.masking import masked_code

MOST_LINES: Final = 400
MOST_CHARACTERS: Final = 32 << 10
AROUND: Final = 8
_MOST_LINE: Final = 2_000


def marked_lines(code: str, tool: str) -> tuple[tuple[ShownLine, ...], bool]:
    """The whole program, or where that is long the lines around those that name the tool; and whether it is cut.

    `tool` is `upstream.tool`, empty for a fetch.
    """
    texts = code.splitlines()
    marks = _marks(texts, tool)
    wanted = range(len(texts))
    if len(texts) > MOST_LINES or len(code) > MOST_CHARACTERS:
        near = {line for mark in marks for line in range(mark - AROUND, mark + AROUND + 1)}
        wanted = [line for line in wanted if line in near] or wanted  # type: ignore[assignment]
    shown: list[ShownLine] = []
    room = MOST_CHARACTERS
    for line in wanted:
        text = masked_code(texts[line][:_MOST_LINE])
        room -= len(text) + 1
        if room < 0 or len(shown) >= MOST_LINES:
            break
        shown.append(ShownLine(number=line + 1, text=text, marked=line in marks))
    return tuple(shown), len(shown) < len(texts) or any(len(text) > _MOST_LINE for text in texts)


def _marks(texts: list[str], tool: str) -> set[int]:
    """Lines that name upstream and tool; if there is none, those that name the tool alone."""
    upstream, _, name = tool.partition(".")
    if not tool:
        return _found(texts, r"\b(?:fetch|requests|urllib|urlopen)\b")
    both = _found(texts, rf"\b{re.escape(upstream)}\b\W{{1,4}}{re.escape(name)}\b")
    return both or _found(texts, rf"\b{re.escape(name)}\b")


def _found(texts: list[str], pattern: str) -> set[int]:
    sought = re.compile(pattern)
    return {number for number, text in enumerate(texts) if sought.search(text)}
