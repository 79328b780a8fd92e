"""YAML as Lockgate reads it: a bounded subset of YAML 1.2 that remembers where everything stands.

Values are those of JSON. Tags, merge keys, duplicate keys and a second document are refused, aliases count
in full wherever they are used, and plain scalars follow the 1.2 core schema (`no` is text, not false).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

import yaml

from sandboxes.problem import DocumentError, Mark, Problem, key_path, quote

MAX_BYTES: Final = 256 << 10
MAX_DEPTH: Final = 32
MAX_NODES: Final = 20_000

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INTEGER = re.compile(r"[-+]?[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_MAX_DIGITS = 18
_TAGGED = (yaml.ScalarEvent, yaml.CollectionStartEvent)
type _YamlMark = yaml.Mark | yaml._yaml.Mark | None  # noqa: SLF001 - a name of the stubs only, never evaluated


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A value and its place.

    `keys` has the place of each key of a mapping; `size` counts the nodes from here down, `height` their levels.
    """

    value: "str | int | float | bool | list[Node] | dict[str, Node] | None"
    mark: Mark
    keys: Mapping[str, Mark] = field(default_factory=dict)
    size: int = 1
    height: int = 1

    def plain(self) -> Any:
        """The value as JSON would hold it."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A parsed file. `name` is how errors call it."""

    name: str
    root: Node

    def problem(self, path: str, mark: Mark, message: str) -> Problem:
        """A problem in this document."""
        return Problem(file=self.name, mark=mark, path=path, message=message)

    def mark(self, *keys: str) -> Mark:
        """The place of the value under the keys, one mapping inside the other; of the last one that is there."""
        node = self.root
        for key in keys:
            if not isinstance(node.value, dict) or key not in node.value:
                break
            node = node.value[key]
        return node.mark


def read_document(path: Path) -> Document:
    """The document in the file `path`. Raises DocumentError, also for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)  # one more than allowed tells "too long" without reading it all
    except OSError as error:
        _refuse(str(path), Mark(), f"cannot be read: {error.strerror}")
    return parse_document(data, str(path))


def parse_document(data: bytes, name: str) -> Document:
    """The document in `data`. Raises DocumentError, whatever the bytes."""
    return Document(name=name, root=_Composer(name).compose(_decode(data, name)))


def _decode(data: bytes, name: str) -> str:
    if len(data) > MAX_BYTES:
        _refuse(name, Mark(), f"the file has more than {MAX_BYTES} bytes")
    try:
        return data.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        mark = _mark_at(data[: error.start].decode())
        _refuse(name, mark, f"byte 0x{data[error.start]:02x} is not UTF-8")


def _mark_at(before: str) -> Mark:
    return Mark(line=before.count("\n") + 1, column=len(before) - before.rfind("\n"))


def _refuse(name: str, mark: Mark, message: str, path: str = "") -> NoReturn:
    raise DocumentError((Problem(file=name, mark=mark, path=path, message=message),))


class _Composer:
    """Builds nodes from parser events, so that depth and size are checked before anything is built."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.anchors: dict[str, Node] = {}
        self.count = 0

    def compose(self, text: str) -> Node:
        events = self._events(text)
        root: Node | None = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent) and root is not None:
                self._stop(event, "a second document (---) in one file")
            if isinstance(event, yaml.NodeEvent):
                root = self._node(event, events, "", 1)
        if root is None:
            _refuse(self.name, Mark(), "the file is empty")
        return root

    def _events(self, text: str) -> Iterator[yaml.Event]:
        """The parser's events, its errors made ours."""
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            mark = _mark_at(text[: error.position])
            _refuse(self.name, mark, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML")
        except yaml.MarkedYAMLError as error:
            mark = _mark(error.problem_mark or error.context_mark)
            context = f" {error.context}" if error.context else ""
            _refuse(self.name, mark, f"not valid YAML: {error.problem}{context}")
        except DocumentError:
            raise
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML lets ValueError out for an escape beyond U+10FFFF and for huge numbers in directives.
            _refuse(self.name, Mark(), f"not valid YAML: {error}")

    def _node(self, event: yaml.Event, events: Iterator[yaml.Event], path: str, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path, depth)
        if depth > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels")
        if isinstance(event, _TAGGED) and event.tag is not None:
            self._stop(event, f"tags such as {quote(event.tag)} are not used here", path)
        self._add(1, event)
        if isinstance(event, yaml.ScalarEvent):
            node = Node(value=self._scalar(event, path), mark=_mark(event.start_mark))
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, events, path, depth)
        else:
            node = self._mapping(event, events, path, depth)
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            self.anchors[event.anchor] = node
        return node

    def _alias(self, event: yaml.AliasEvent, path: str, depth: int) -> Node:
        node = self.anchors.get(event.anchor or "")
        if node is None:
            self._stop(event, f"the alias *{event.anchor} has no anchor before it", path)
        self._add(node.size, event)
        if depth + node.height - 1 > MAX_DEPTH:
            self._stop(event, f"nested deeper than {MAX_DEPTH} levels", path)
        return node

    def _add(self, nodes: int, event: yaml.Event) -> None:
        self.count += nodes
        if self.count > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values, aliases counted in full")

    def _sequence(self, start: yaml.Event, events: Iterator[yaml.Event], path: str, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(self._node(event, events, key_path(path, len(items)), depth + 1))
        return Node(value=items, mark=_mark(start.start_mark), size=_size(items), height=_height(items))

    def _mapping(self, start: yaml.Event, events: Iterator[yaml.Event], path: str, depth: int) -> Node:
        items: dict[str, Node] = {}
        keys: dict[str, Mark] = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = self._key(event, keys, path)
            keys[key] = _mark(event.start_mark)
            items[key] = self._node(next(events), events, key_path(path, key), depth + 1)
        below = items.values()
        return Node(value=items, keys=keys, mark=_mark(start.start_mark), size=_size(below), height=_height(below))

    def _key(self, event: yaml.Event, keys: Mapping[str, Mark], path: str) -> str:
        if not isinstance(event, yaml.ScalarEvent) or event.tag is not None:
            self._stop(event, "a key must be text", path)
        key = self._text(event, path)
        if key == "<<":
            self._stop(event, "merge keys (<<) are not supported; write the keys out, or alias a whole value", path)
        if key in keys:
            self._stop(event, f"given twice; first on line {keys[key].line}", key_path(path, key))
        return key

    def _scalar(self, event: yaml.ScalarEvent, path: str) -> str | float | bool | None:  # int is a float to mypy
        text = self._text(event, path)
        if event.style is not None:
            return text
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if _INTEGER.fullmatch(text):
            if len(text) > _MAX_DIGITS:
                self._stop(event, f"the number {quote(text, 30)} has more than {_MAX_DIGITS} digits", path)
            return int(text)
        # A float that does not fit would be "inf", which JSON lacks.
        if _FLOAT.fullmatch(text) and abs(number := float(text)) != float("inf"):
            return number
        return text

    def _text(self, event: yaml.ScalarEvent, path: str) -> str:
        if _SURROGATE.search(event.value):
            self._stop(event, "half of a surrogate pair is not text", path)
        return str(event.value)

    def _stop(self, event: yaml.Event, message: str, path: str = "") -> NoReturn:
        _refuse(self.name, _mark(event.start_mark), message, path)


def _size(below: Iterable[Node]) -> int:
    return 1 + sum(node.size for node in below)


def _height(below: Iterable[Node]) -> int:
    return 1 + max((node.height for node in below), default=0)


def _mark(mark: _YamlMark) -> Mark:
    return Mark() if mark is None else Mark(line=mark.line + 1, column=mark.column + 1)
