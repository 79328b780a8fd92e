"""What comes of erasing a program's types: the program without them, or why that cannot be."""

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_TAB_WIDTH = 4
_MOST_MESSAGE = 300
_MOST_SOURCE_LINE = 500

_ERASED = "types are erased here, not compiled"
# By a piece of the parser's own message.
_UNSUPPORTED: dict[str, str] = {
    "TypeScript enum": (
        f'enum is not supported, because {_ERASED}: use an object, such as const Color = {{ Red: "red" }} as const'
    ),
    "namespace": f"namespace is not supported, because {_ERASED}: use an object or plain functions",
    "parameter property": (
        f"a parameter property (private, public or readonly in a constructor's parameters) is not supported, because "
        f"{_ERASED}: declare the field and assign it in the constructor"
    ),
    "import equals": f"import x = require(..) is not supported, because {_ERASED}; modules cannot be loaded either",
    "export assignment": f"export = is not supported, because {_ERASED}: use export default",
    "angle-bracket": "the assertion <Type>value is not supported: write value as Type",
}


class Types(IntEnum):
    """What is done about a program's types."""

    KEEP = 0
    """Nothing: it has none."""
    ERASE = 1
    """Erase them: it is TypeScript."""
    IF_NEEDED = 2
    """Run it as plain JavaScript; erase and run again if that does not parse."""


@dataclass(frozen=True, slots=True)
class Erased:
    """A program without its types: `code` has the lines and columns of the source; `changed` if there were any."""

    code: str
    changed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Why types could not be erased. Line and column count from 1, in characters of the source; None if not known.

    `unsupported`: the syntax is TypeScript, but of the kind that erasing leaves nothing runnable of.
    """

    message: str
    line: int | None = None
    column: int | None = None
    source_line: str | None = None
    unsupported: bool = False

    def error_json(self) -> str:
        """The problem in the form in which guests tell of an error."""
        return json.dumps(
            {
                "name": "SyntaxError",
                "message": self.message,
                "stack": "",
                "line": self.line,
                "column": self.column,
                "source_line": self.source_line,
                "limit": None,
                "call": None,
            }
        )


def problem_of(error: Mapping[str, object], source: str, head: int) -> Problem:
    """The parser's error in our words; `head` is how many columns were put before the first line."""
    message = error.get("message")
    unsupported = error.get("code") == "UnsupportedSyntax"
    text = _message(message if isinstance(message, str) else "the program is not valid TypeScript")
    line, shown = error.get("startLine"), error.get("startColumn")
    if not isinstance(line, (int, float)) or not isinstance(shown, (int, float)):
        return Problem(message=text, unsupported=unsupported)
    lines = lines_of(source)
    # Beyond the end: what was put behind the program.
    number = max(1, min(int(line), len(lines)))
    wanted = lines[number - 1]
    column = character_column(wanted, int(shown) - (head if number == 1 else 0)) if line <= len(lines) else len(wanted)
    return Problem(
        message=text, line=number, column=column + 1, source_line=wanted[:_MOST_SOURCE_LINE], unsupported=unsupported
    )


def _message(text: str) -> str:
    for piece, ours in _UNSUPPORTED.items():
        if piece in text:
            return ours
    return text.replace(" in strip-only mode", f", because {_ERASED}")[:_MOST_MESSAGE]


def lines_of(source: str) -> list[str]:
    """The lines of a program, as every parser here counts them."""
    return _LINE_BREAK.split(source)


def character_column(line: str, shown: int) -> int:
    """How many characters stand before a column as a terminal shows it (SWC counts those; both from 0)."""
    width = 0
    for index, character in enumerate(line):
        if width >= shown:
            return index
        width += _width(character)
    return len(line)


def _width(character: str) -> int:
    if character == "\t":
        return _TAB_WIDTH
    if character.isascii():
        return 1
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1
