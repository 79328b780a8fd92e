"""A program inside Markdown: found, and its lines kept where they were."""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from runtime.execution.characters import INVISIBLE
from runtime.execution.language import Family, Language, family_of

type Label = Language | Literal["shell", "other", ""]

PROGRAMS: dict[Label, Language] = {"javascript": "javascript", "typescript": "typescript", "python": "python"}
"""The labels that name a language programs may be in."""

_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^`\n]*)")
_MOST_FENCES = 200
_LABELS: dict[str, Label] = {
    **dict.fromkeys(("js", "javascript", "jsx", "mjs", "cjs", "node", "nodejs", "ecmascript"), "javascript"),
    **dict.fromkeys(("ts", "typescript", "tsx", "mts"), "typescript"),
    **dict.fromkeys(("py", "python", "python3", "py3"), "python"),
    **dict.fromkeys(("sh", "bash", "shell", "zsh", "console", "terminal", "powershell", "cmd"), "shell"),
    **dict.fromkeys(("", "code", "text", "txt", "plaintext", "tool_code", "markdown", "md"), ""),
}
# Marks of code in a line that would otherwise be prose, once `code spans` are out of it.
_CODE = re.compile(
    r"[;{}]\s*$|=>|[=!]==?|^\s*(?://|/\*|\*/|#!|@|\}|\)|\]|'''|\"\"\")|^\s*(?:const|let|var|return|import|from|def|class|async"
    r"|await|function|export|print)\b[^.]*[({=\"'*]|^\s*[\w$.]+\s*\+?=\s|^\s*[\w$.]+\([^)]*\)\s*$"
)
_SPAN = re.compile(r"`[^`\n]*`")
_TALKING = re.compile(r"[A-Za-z]{2,}[ :!.,]|[A-Za-z]{2,}$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its label, and which lines are inside (from, to, not including)."""

    label: Label
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Fenced:
    """The program of a fenced block, on the lines it had; `label` is what the fence calls it."""

    code: str
    label: Label


def unfence(code: str, family: Family | None) -> Fenced | str | None:
    """The one program in a Markdown text, or why there is none, or None if the text is not Markdown.

    `family`: the language asked for; it chooses among several blocks.
    """
    if not 0 < code.count("```") + code.count("~~~") <= _MOST_FENCES:
        return None
    lines = code.split("\n")
    seen = lines if code.isascii() else [line.strip(INVISIBLE) for line in lines]
    fences = [index for index, line in enumerate(seen) if _FENCE.fullmatch(line)]
    if not fences:
        return None
    blocks = _blocks(seen, fences)
    if blocks is None:
        return _without_last_fence(lines, fences)
    if not _is_markdown(seen, blocks):
        return None
    chosen = _choose(blocks, family)
    return chosen if isinstance(chosen, str) else Fenced(_only(lines, chosen), chosen.label)


def _blocks(lines: list[str], fences: list[int]) -> list[Block] | None:
    """The blocks as CommonMark has them, the last perhaps open; None if there is but a closing fence, at the end."""
    blocks: list[Block] = []
    opened: tuple[str, Label, int] | None = None
    for index in fences:
        match = _FENCE.fullmatch(lines[index])
        assert match is not None
        marker, words = match[1], match[2].split()
        if opened is None:
            opened = (marker, _label(words), index + 1)
        elif not words and marker.startswith(opened[0]):
            blocks.append(Block(opened[1], opened[2], index))
            opened = None
    if opened is None:
        return blocks
    rest = any(line.strip() for line in lines[opened[2] :])
    if not rest:
        return blocks or None
    return [*blocks, Block(opened[1], opened[2], len(lines))]


def _label(words: list[str]) -> Label:
    word = words[0].lower().strip("{}.:,") if words else ""
    return _LABELS.get(word, "other")


def _without_last_fence(lines: list[str], fences: list[int]) -> Fenced | None:
    """A program whose opening fence was lost; neither language can end in a line of backticks."""
    last = fences[-1]
    if len(fences) > 1 or not any(line.strip() for line in lines[:last]):
        return None
    return Fenced("\n".join(lines[:last]), "")


def _is_markdown(lines: list[str], blocks: list[Block]) -> bool:
    """Whether what stands outside the blocks is prose, not a program with fences in one of its texts."""
    return all(_is_prose(line) for line in _outside(lines, blocks))


def _outside(lines: list[str], blocks: list[Block]) -> list[str]:
    edges = [(0, 0), *((block.begin - 1, block.end + 1) for block in blocks), (len(lines), len(lines))]
    return [line for before, after in pairwise(edges) for line in lines[before[1] : after[0]]]


def _is_prose(line: str) -> bool:
    if not line.strip():
        return True
    bare = _SPAN.sub("code", line)
    return _CODE.search(bare) is None and _TALKING.search(bare) is not None


def _choose(blocks: list[Block], family: Family | None) -> Block | str:
    runnable = [block for block in blocks if block.label in PROGRAMS]
    fitting = [block for block in runnable if family_of(PROGRAMS[block.label]) == family]
    for group in (fitting, runnable if not fitting else [], blocks if not runnable else []):
        if len(group) == 1:
            return _or_why_not(group[0])
    unnamed = [block for block in blocks if not block.label]
    if not runnable and len(unnamed) == 1:
        return unnamed[0]
    return f"holds {len(blocks)} fenced blocks; send one program, without Markdown"


def _or_why_not(block: Block) -> Block | str:
    if block.label == "shell":
        return "is a shell script, and there is no shell here; send one program in JavaScript, TypeScript or Python"
    if block.label == "other":
        return (
            "is in a fenced block of another language; send one program in JavaScript, TypeScript or Python, "
            "without Markdown"
        )
    return block


def _only(lines: list[str], block: Block) -> str:
    """The block's lines where they were, everything else blank; a fence's own indentation is taken off."""
    fence = lines[block.begin - 1]
    indent = len(fence) - len(fence.lstrip(" \t"))
    inside = [line[min(indent, len(line) - len(line.lstrip(" \t"))) :] for line in lines[block.begin : block.end]]
    while inside and not inside[-1].strip():
        inside.pop()
    return "\n".join([*([""] * block.begin), *inside])
