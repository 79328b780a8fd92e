"""What is wrong in a file, and where: the errors of every file an operator writes."""

import re
from dataclasses import dataclass
from typing import Final, NoReturn

_MAX_MESSAGE = 500
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,59}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Mark:
    """A place in a file; both numbers start at 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing wrong in one place. `mark` is None for a whole file; `path` is the key path, empty for the document."""

    file: str
    mark: Mark | None
    path: str
    message: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.mark.line}:{self.mark.column}" if self.mark is not None else self.file
        # Messages may quote the file, so they are bounded and kept on one line here, for all.
        message = printable(self.message, _MAX_MESSAGE)
        return f"{where}: {self.path}: {message}" if self.path else f"{where}: {message}"


class DocumentError(ValueError):
    """A file that cannot be used, with every problem found in it; its text is one line per problem."""

    SHOWN: Final = 20

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        lines = [str(problem) for problem in problems[: self.SHOWN]]
        if len(problems) > self.SHOWN:
            lines.append(f"... and {len(problems) - self.SHOWN} more")
        super().__init__("\n".join(lines))
        self.problems = problems


def key_path(path: str, part: str | int) -> str:
    """`egress.rules` and 0 to `egress.rules[0]`."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    if not _PLAIN_KEY.fullmatch(part):
        return f"{path}[{quote(part)}]"
    return f"{path}.{part}" if path else part


def quote(value: object, limit: int = 60) -> str:
    """A value of a file for a message: on one line, printable, not endless."""
    return f'"{printable(value, limit)}"' if isinstance(value, str) else printable(repr(value), limit)


def printable(text: str, limit: int) -> str:
    """The text on one line, at most `limit` of its characters, what cannot be printed as escapes."""
    shown = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in shown)


def mark_at(before: str) -> Mark:
    """The place right after the text `before`."""
    return Mark(line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))


def refuse(name: str, mark: Mark | None, message: str, path: str = "") -> NoReturn:
    """Raises DocumentError with this one problem of the file `name`."""
    raise DocumentError((Problem(file=name, mark=mark, path=path, message=message),))
