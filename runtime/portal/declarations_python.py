"""Python declarations: what a Python program may call, written as it calls it. Text for reading, valid by `ast`."""

import keyword
from dataclasses import dataclass

from runtime.portal.comment import about, docstring, field_comment, prose
from runtime.portal.identifier import identifier
from runtime.portal.schema import ReferenceProblem
from runtime.portal.signature import inferred_note, result_type
from runtime.portal.tool import Tool
from runtime.portal.type_model import Both, Field, ListOf, MapOf, Named, ObjectOf, TupleOf, Type, Union
from runtime.portal.type_names import TypeNames
from runtime.portal.type_reader import object_fields, read_type
from runtime.portal.type_text import python, python_literal

_WIDE = 110


@dataclass(frozen=True, kw_only=True, slots=True)
class _Inline:
    """An object without a name of its own, to be declared beside the type that holds it."""

    name: str
    fields: tuple[Field, ...]
    depth: int


class PythonWriter:
    """Writes the tools and types of one answer; `names` knows what is still to be declared.

    Objects without a name of their own are written out `nesting` deep.
    """

    def __init__(self, nesting: int = 8) -> None:
        self.names = TypeNames()
        self.nesting = nesting
        self._inline: list[_Inline] = []

    def tools(self, tools: list[Tool], prose_limit: int) -> str:
        """All the tools inside one `class codemode`, and the types of their arguments."""
        lines = ["class codemode:"]
        for upstream in dict.fromkeys(tool.upstream for tool in tools):
            lines.append(f"    class {upstream}:")
            for tool in tools:
                if tool.upstream == upstream:
                    lines += self._tool(tool, prose_limit)
        return "\n".join([*lines, *self._inlines(prose_limit)])

    def type(self, name: str, named: Named, prose_limit: int) -> str:
        """One shared type: a TypedDict for an object, an alias for everything else."""
        kind = read_type(named.shape)
        fields = _fields(kind, named)
        schema = named.shape.schema
        described = schema.get("description", "") if hasattr(schema, "get") else ""
        doc = prose(described if isinstance(described, str) else "", prose_limit)
        if fields is None:
            text = f"type {name} = {self._text(kind, f'{name}Object', 0)}"
            lines = [*(f"# {line}" for line in doc), text]
        else:
            lines = self._typed_dict(name, fields, doc, prose_limit, 0)
        return "\n".join([*lines, *self._inlines(prose_limit)])

    def _inlines(self, prose_limit: int) -> list[str]:
        lines: list[str] = []
        while self._inline:
            each = self._inline.pop(0)
            lines += ["", *self._typed_dict(each.name, each.fields, [], prose_limit, each.depth)]
        return lines

    def _tool(self, tool: Tool, prose_limit: int) -> list[str]:
        fields = object_fields(tool.input)
        hint = tool.name[0].upper() + tool.name[1:]
        arguments = [
            f"{f.name}: {self._text(f.type, hint + _pascal(f.name), 0)}" + ("" if f.required else " = ...")
            for f in fields
            if f.name.isidentifier() and not keyword.iskeyword(f.name)
        ]
        result = self._text(result_type(tool), f"{hint}Result", 0)
        head = f"        async def {tool.name}({', '.join(['*', *arguments] if arguments else [])}) -> {result}:"
        if len(head) > _WIDE:
            inner = ",\n".join(f"            {each}" for each in ["*", *arguments])
            head = f"        async def {tool.name}(\n{inner},\n        ) -> {result}:" if arguments else head
        doc = about(tool.summary, tool.description, prose_limit)
        doc += ["Only reads."] if tool.read_only else []
        doc += [note] if (note := inferred_note(tool)) else []
        doc += ["Deprecated."] if tool.deprecated else []
        doc += [f"{f.name}: {comment}" for f in fields if (comment := field_comment(f, prose_limit))]
        return ["        @staticmethod", head, *docstring(doc or [tool.name], "            "), ""]

    def _typed_dict(
        self, name: str, fields: tuple[Field, ...], doc: list[str], prose_limit: int, depth: int
    ) -> list[str]:
        texts = [(f, self._text(f.type, name + _pascal(f.name), depth + 1)) for f in fields]
        if not all(f.name.isidentifier() and not keyword.iskeyword(f.name) for f in fields):
            members = [f"    {python_literal(f.name)}: {_needed(f, text)}," for f, text in texts]
            return [*(f"# {line}" for line in doc), f'{name} = TypedDict("{name}", {{', *members, "})"]
        lines = [f"class {name}(TypedDict):", *docstring(doc, "    ")]
        for f, text in texts:
            comment = field_comment(f, prose_limit)
            line = f"    {f.name}: {_needed(f, text)}"
            wide = comment and len(line) + len(comment) > _WIDE
            lines += [f"    # {part}" for part in prose(comment, prose_limit + 200)] if wide else []
            lines.append(line if wide or not comment else f"{line}  # {comment}")
        return lines if fields or doc else [*lines, "    pass"]

    def _text(self, kind: Type, hint: str, depth: int) -> str:
        match kind:
            case ObjectOf() | Both():
                fields = _fields(kind, None)
                if fields is None or depth > self.nesting:
                    return "dict[str, Any]"
                name = self.names.claim(hint, hint)
                self._inline.append(_Inline(name=name, fields=fields, depth=depth))
                return name
            case ListOf(item):
                return f"list[{self._text(item, hint + 'Item', depth)}]"
            case MapOf(value):
                return f"dict[str, {self._text(value, hint + 'Value', depth)}]"
            case TupleOf(items, rest):
                places = (*items, *([rest] if rest else []))
                parts = (self._text(each, f"{hint}{number}", depth) for number, each in enumerate(places, 1))
                return f"list[{' | '.join(dict.fromkeys(parts)) or 'Any'}]"
            case Union(options):
                several = sum(isinstance(option, ObjectOf | Both) for option in options) > 1
                hints = (f"{hint}{number}" if several else hint for number in range(1, len(options) + 1))
                texts = (self._text(option, own, depth) for option, own in zip(options, hints, strict=True))
                return " | ".join(dict.fromkeys(texts))
            case _:
                return python(kind, self.names.name_of)


def _fields(kind: Type, named: Named | None) -> tuple[Field, ...] | None:
    """The properties of an object, of several at once, or None for what is not a plain object."""
    if isinstance(kind, ObjectOf):
        return kind.fields
    if not isinstance(kind, Both):
        return None
    if named is not None:
        return object_fields(named.shape) or None
    found: dict[str, Field] = {}
    for part in kind.parts:
        for field in _part_fields(part):
            found.setdefault(field.name, field)
    return tuple(found.values()) or None


def _part_fields(part: Type) -> tuple[Field, ...]:
    if isinstance(part, ObjectOf):
        return part.fields
    if isinstance(part, Named):
        try:
            return object_fields(part.shape.resolved()[0])
        except ReferenceProblem:
            return ()
    return ()


def _needed(field: Field, text: str) -> str:
    return text if field.required else f"NotRequired[{text}]"


def _pascal(name: str) -> str:
    words = identifier(name).split("_")
    return "".join(word[0].upper() + word[1:] for word in words if word)
