"""YAML as Lockgate reads it: a bounded subset of YAML 1.2 that remembers where everything stands.

Values are those of JSON. Tags, merge keys, duplicate keys and a second document are refused, aliases count
in full wherever they are used, and plain scalars follow the 1.2 core schema (`no` is text, not false).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandboxes.composer import compose
from sandboxes.node import Node
from sandboxes.problem import Mark, Problem, mark_at, refuse

MAX_BYTES: Final = 256 << 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A parsed file. `name` is how errors call it."""

    name: str
    root: Node

    def problem(self, path: str, mark: Mark, message: str) -> Problem:
        """A problem in this document."""
        return Problem(file=self.name, mark=mark, path=path, message=message)

    def mark(self, *keys: str | int) -> Mark:
        """The place of the value under the keys of mappings and numbers of lists; of the last one that is there."""
        node = self.root
        for key in keys:
            match node.value, key:
                case dict() as held, str() if key in held:
                    node = held[key]
                case list() as held, int() if key < len(held):
                    node = held[key]
                case _:
                    break
        return node.mark


def read_document(path: Path) -> Document:
    """The document in the file `path`. Raises DocumentError, also for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # one more than allowed tells "too long" without reading it all
    except OSError as error:
        refuse(str(path), None, f"cannot be read: {error.strerror}")
    return parse_document(data, str(path))


def parse_document(data: bytes, name: str) -> Document:
    """The document in `data`. Raises DocumentError, whatever the bytes."""
    return Document(name=name, root=compose(_decode(data, name), name))


def _decode(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        refuse(name, None, f"the file has more than {MAX_BYTES} bytes")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        mark = mark_at(data[: error.start].decode())
        refuse(name, mark, f"byte 0x{data[error.start]:02x} is not UTF-8")
