"""Notes over MCP, on standard input and output: `python -m tests.demo.notes [--directory DIR]`.

The official SDK's server: five tools with output schemas and annotations, one of which always fails.
"""

import argparse
import re
from datetime import date
from pathlib import Path
from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

Title = Annotated[str, Field(min_length=1, max_length=80, description="Title of a note; unique.")]
_READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
_WRITES = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
_DESTROYS = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=False)
_OPENING = {
    "onboarding": "Ada opens accounts. Grace reviews every transfer over 500 EUR.",
    "rates": "The EUR to USD rate of the month is 1.10.",
    "holidays": "The bank is closed on the first of May.",
}


class Note(BaseModel):
    """A note."""

    title: str
    text: str
    words: int = Field(description="How many words the text has.")


class Found(BaseModel):
    """A note that matched, and where."""

    title: str
    line: str = Field(description="The first line that matched.")


class Notes:
    """Notes in memory, and in a directory if one is given: one text file a note."""

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._texts = dict(_OPENING)
        if directory is not None:
            self._texts |= {path.stem: path.read_text(encoding="utf-8") for path in sorted(directory.glob("*.txt"))}

    def search(self, words: str, limit: int) -> list[Found]:
        """Notes that have every one of the words."""
        wanted = words.lower().split()
        hits = [
            (title, text) for title, text in self._texts.items() if all(w in f"{title} {text}".lower() for w in wanted)
        ]
        return [Found(title=title, line=_line(text, wanted)) for title, text in hits[:limit]]

    def read(self, title: str) -> Note:
        """The note; ToolError if there is none."""
        if title not in self._texts:
            raise ToolError(f'there is no note "{title}"; the notes are {", ".join(sorted(self._texts))}')
        text = self._texts[title]
        return Note(title=title, text=text, words=len(text.split()))

    def write(self, title: str, text: str) -> Note:
        """The note as it now is."""
        if not re.fullmatch(r"[a-z0-9][a-z0-9 _-]*", title):
            raise ToolError("a title has a-z, 0-9, spaces, - and _ only")
        self._texts[title] = text
        if self._directory is not None:
            (self._directory / f"{title}.txt").write_text(text, encoding="utf-8")
        return self.read(title)

    def delete(self, title: str) -> Note:
        """The note that is gone."""
        note = self.read(title)
        del self._texts[title]
        if self._directory is not None:
            (self._directory / f"{title}.txt").unlink(missing_ok=True)
        return note


def _line(text: str, words: list[str]) -> str:
    return next((line for line in text.splitlines() if any(word in line.lower() for word in words)), "")


def server(notes: Notes) -> MCPServer:
    """The MCP server over `notes`."""
    mcp = MCPServer("notes", version="1.0.0", log_level="ERROR", instructions="Short notes of a small bank.")

    @mcp.tool(annotations=_READS)
    def search_notes(
        words: Annotated[str, Field(min_length=1, description="Words that a note must have, all of them.")],
        limit: Annotated[int, Field(ge=1, le=50)] = 10,
    ) -> list[Found]:
        """Find notes by words in title or text."""
        return notes.search(words, limit)

    @mcp.tool(annotations=_READS)
    def read_note(title: Title) -> Note:
        """Read one note."""
        return notes.read(title)

    @mcp.tool(annotations=_WRITES)
    def write_note(title: Title, text: Annotated[str, Field(max_length=20_000)]) -> Note:
        """Write a note, replacing one of the same title."""
        return notes.write(title, text)

    @mcp.tool(annotations=_DESTROYS)
    def delete_note(title: Title) -> Note:
        """Delete a note and return what it was."""
        return notes.delete(title)

    @mcp.tool(annotations=_READS)
    def export_notes(since: Annotated[date, Field(description="Notes changed on or after this day.")]) -> list[Note]:
        """Export notes to the archive, which is out of order: always fails."""
        raise ToolError(f"the archive takes no notes since {since}")

    return mcp


def main() -> None:
    """Serve notes until standard input ends."""
    parser = argparse.ArgumentParser(description="Notes over MCP (stdio), for demonstrations and tests.")
    parser.add_argument("--directory", type=Path, help="where notes are kept; without it they end with the process")
    arguments = parser.parse_args()
    server(Notes(arguments.directory)).run("stdio")


if __name__ == "__main__":
    main()
