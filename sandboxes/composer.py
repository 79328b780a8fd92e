"""Builds values from PyYAML's parser events, so that depth and size are checked before anything is built."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NoReturn

import yaml

from sandboxes.node import Node
from sandboxes.problem import DocumentError, Mark, key_path, mark_at, quote, refuse

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


def compose(text: str, name: str) -> Node:
    """The root of the one document in `text`. Raises DocumentError, calling the file `name`."""
    return _Composer(name).compose(text)


class _Composer:
    """One document's anchors and count."""

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
            refuse(self.name, None, "the file is empty")
        return root

    def _events(self, text: str) -> Iterator[yaml.Event]:
        """The parser's events, its errors made ours."""
        try:
            yield from yaml.parse(text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            mark = mark_at(text[: error.position])
            refuse(self.name, mark, f"the character U+{ord(text[error.position]):04X} is not allowed in YAML")
        except yaml.MarkedYAMLError as error:
            mark = _mark(error.problem_mark or error.context_mark)
            context = f" {error.context}" if error.context else ""
            refuse(self.name, mark, f"not valid YAML: {error.problem}{context}")
        except DocumentError:
            raise
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            # PyYAML lets ValueError out for an escape beyond U+10FFFF and for huge numbers in directives.
            refuse(self.name, None, f"not valid YAML: {error}")

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
        refuse(self.name, _mark(event.start_mark), message, path)


def _size(below: Iterable[Node]) -> int:
    return 1 + sum(node.size for node in below)


def _height(below: Iterable[Node]) -> int:
    return 1 + max((node.height for node in below), default=0)


def _mark(mark: _YamlMark) -> Mark:
    return Mark() if mark is None else Mark(line=mark.line + 1, column=mark.column + 1)
