"""What models really send, made into the program they mean, or refused with a sentence that lets them fix it.

Nothing is parsed here: every step is certain from the text, or is not taken. Lines keep their numbers.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from runtime.execution.characters import plain_lines, unescaped, with_straight_quotes, without_odd_characters
from runtime.execution.fences import PROGRAMS, Fenced, Label, unfence
from runtime.execution.language import (
    Family,
    Language,
    contradicts,
    detect_language,
    family_of,
    is_typescript,
    other_family,
    weigh,
)
from runtime.execution.no_program import why_no_program

_MOST_NESTED_FENCES = 4
# Longer texts come from programs, not from chats, and would hold the gateway up.
_MOST_REPAIRED = 65_536
_REPAIRS: tuple[tuple[Callable[[str], str], str], ...] = (
    (unescaped, "HTML's escapes undone"),
    (without_odd_characters, "invisible characters removed"),
    (with_straight_quotes, "curly quotes made straight"),
)
_LABEL_LINE = re.compile(
    r"\s*(?:language\s*[:=]\s*)?(?P<name>javascript|js|typescript|ts|python3?|py)[ \t]*:?[ \t]*(?:\n|\Z)", re.IGNORECASE
)
_LABELS: dict[str, Language] = {
    "javascript": "javascript",
    "js": "javascript",
    "typescript": "typescript",
    "ts": "typescript",
    "python": "python",
    "python3": "python",
    "py": "python",
}
_SPOKEN: dict[str, str] = {"javascript": "JavaScript", "typescript": "TypeScript", "python": "Python"}
_MAIN = re.compile(
    r"^(?P<export>export +)?(?:(?:async +)?function +main *[(<]|(?:const|let|var) +main *= *(?:async\b|\())",
    re.MULTILINE,
)
_MENTIONED = re.compile(r"\bmain\b")
# What may stand in the first column of a program that only declares things.
_DECLARES = re.compile(
    r"\s|[})\]]|//|/\*|\*/|(?:export +)?(?:(?:async +)?function|class|const|let|var|interface|type|import)\b|[\"']use "
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A program to run. `note` says what was made of the text; it is empty if nothing was.

    `detected`: nobody said what language it is in, so what does not parse as JavaScript may be tried as TypeScript.
    """

    code: str
    language: Language
    note: str = ""
    detected: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Why the text is no program, in a sentence to follow the name of the field it came in."""

    message: str


def take_in(code: str, language: Language | None = None) -> Taken | Refused:
    """The program in a text. `language` is what the caller says it is in. Never raises."""
    family = family_of(language) if language else None
    notes: list[str] = []
    found = _out_of_fences(plain_lines(code), family, notes)
    if isinstance(found, Refused):
        return found
    text, label = _without_label(_repaired(found.code, notes), found.label, notes)
    if not text.strip():
        return Refused("is empty; send a program")
    why = why_no_program(text, family)
    if why is not None:
        return Refused(why)
    settled = _settle(text, language, label)
    if isinstance(settled, Refused):
        return settled
    if language and settled != language:
        notes.append(f"read as {_SPOKEN[settled]}, not {_SPOKEN[language]}")
    text = text if settled == "python" else _with_main_called(text, notes)
    return Taken(text, settled, "; ".join(notes), detected=language is None)


def _out_of_fences(text: str, family: Family | None, notes: list[str]) -> Fenced | Refused:
    found = Fenced(text, "")
    for _ in range(_MOST_NESTED_FENCES):
        inner = unfence(found.code, family)
        if isinstance(inner, str):
            return Refused(inner)
        if inner is None:
            return found
        found = Fenced(inner.code, inner.label or found.label)
        notes[:] = ["taken out of its Markdown fence"]
    return Refused("is inside too many Markdown fences; send it without Markdown")


def _repaired(text: str, notes: list[str]) -> str:
    if len(text) > _MOST_REPAIRED:
        return text
    for repair, note in _REPAIRS:
        repaired = repair(text)
        if repaired != text:
            text = repaired
            notes.append(note)
    return text


def _without_label(text: str, label: Label, notes: list[str]) -> tuple[str, Label]:
    """The text without lines ahead of it that only name its language, which become blank."""
    begin, end = 0, len(text.rstrip())
    while (match := _LABEL_LINE.match(text, begin)) and match.end() < end:
        begin = match.end()
        label = label or _LABELS[match["name"].lower()]
    if not begin:
        return text, label
    notes.append("the line that names its language left out")
    return "\n" * text.count("\n", 0, begin) + text[begin:], label


def _settle(code: str, asked: Language | None, label: Label) -> Language | Refused:
    """The language of a program: what was asked for or what its label says, unless the text is certain otherwise."""
    named = PROGRAMS.get(label)
    if asked is None and named is None:
        return detect_language(code)
    if asked and named and family_of(asked) != family_of(named) and not weigh(code).of(family_of(asked)):
        return _with_types(code, named)
    said = asked or named
    assert said is not None
    family = family_of(said)
    if not contradicts(code, family):
        return _with_types(code, said)
    evidence, other = weigh(code), other_family(family)
    if not evidence.of(other):
        return _with_types(code, said)
    if not evidence.of(family):
        return _with_types(code, other)
    if evidence.of(other) > evidence.of(family):
        return Refused(_mixed(family, other))
    return _with_types(code, said)


def _with_types(code: str, language: Language) -> Language:
    return "typescript" if language == "javascript" and is_typescript(code) else language


def _mixed(family: Family, other: Family) -> str:
    return (
        f"was sent as {_SPOKEN[family]} and is mostly {_SPOKEN[other]}, with some of both; "
        f"send one program in one language and name that language"
    )


def _with_main_called(code: str, notes: list[str]) -> str:
    """A program of declarations whose `main` nobody calls, with a call in a line behind it.

    The guest itself calls a function that is the whole program, and a default export.
    """
    found = _MAIN.search(code)
    if found is None or len(_MENTIONED.findall(code)) != 1:
        return code
    lines = code.split("\n")
    if any(line and not _DECLARES.match(line) for line in lines) or "export default" in code:
        return code
    notes.append("main is called")
    return f"{code}\n{'export default main;' if found['export'] else 'main(inputs);'}"
