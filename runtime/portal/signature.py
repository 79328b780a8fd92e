"""The one-line signature of a tool, as a program would call it."""

import re
from typing import Final, Literal

from runtime.portal.schema import ReferenceProblem, Shape, properties_of
from runtime.portal.tool import Tool
from runtime.portal.type_model import Field, ListOf, Named, ObjectOf, Type, Union
from runtime.portal.type_reader import object_fields, read_type
from runtime.portal.type_text import javascript_key, python, typescript

MAX_LENGTH: Final = 320
MAX_TYPE: Final = 80

Language = Literal["javascript", "python"]


def signature(tool: Tool, language: Language = "javascript", limit: int = MAX_LENGTH) -> str:
    """`codemode.github.issuesGet({owner: string, repo: string, issue_number: number}): Promise<Issue>`.

    Required arguments always show, optional ones while there is room, then how many more there are.
    """
    fields = object_fields(tool.input)
    result = result_type(tool)
    name = f"codemode.{tool.full_name}"
    if language == "python":
        shown = _fitting([_python_argument(f) for f in fields], fields, limit - len(name), "... {} more")
        return f"{name}({', '.join(shown)}) -> {_short(python(result))}"
    shown = _fitting([_typescript_argument(tool, f) for f in fields], fields, limit - len(name), "/* {} more */")
    arguments = f"{{{', '.join(shown)}}}" if shown else ""
    return f"{name}({arguments}): Promise<{_short(typescript(result))}>"


def result_type(tool: Tool) -> Type:
    """What a call answers with, as declared, else as observed; an object is shown by its name where it has one."""
    if tool.output is not None:
        return read_type(tool.output)
    schema = tool.observed.schema()
    return read_type(Shape(schema=True if schema is None else schema, root={}))


def inferred_note(tool: Tool) -> str:
    """Says that the result's type is not the upstream's word; empty where it is, or nothing is known."""
    answers = tool.observed.answers
    if tool.output is not None or not answers:
        return ""
    return f"Result inferred from {answers} answer{'s' if answers > 1 else ''}, not declared."


def _typescript_argument(tool: Tool, field: Field) -> str:
    kind = _expanded(tool, field) if field.name == "body" else field.type
    text = typescript(kind)
    if len(text) > MAX_TYPE * (3 if field.name == "body" else 1):
        text = _summary(kind)
    return f"{javascript_key(field.name)}{'' if field.required else '?'}: {text}"


def _expanded(tool: Tool, field: Field) -> Type:
    """A named body written out, one level deep: it is what the program has to fill in."""
    if not isinstance(field.type, Named):
        return field.type
    try:
        shape, _ = tool.input.at(properties_of(tool.input.schema)[field.name]).resolved()
    except (ReferenceProblem, KeyError):
        return field.type
    return read_type(shape)


def _python_argument(field: Field) -> str:
    text = _short(python(field.type))
    return f"{field.name}: {text}" if field.required else f"{field.name}: {text} = ..."


def _fitting(arguments: list[str], fields: tuple[Field, ...], limit: int, more: str) -> list[str]:
    shown: list[str] = []
    room = limit
    for text, field in zip(arguments, fields, strict=True):
        room -= len(text) + 2
        if not field.required and room < 0:
            return [*shown, more.format(len(fields) - len(shown))]
        shown.append(text)
    return shown


def _short(text: str) -> str:
    return text if len(text) <= MAX_TYPE else _cut(text)


def _summary(kind: Type) -> str:
    """A long type in few words: the required members of an object, or its general kind."""
    if isinstance(kind, ObjectOf):
        needed = [f"{javascript_key(f.name)}: {_short(typescript(f.type))}" for f in kind.fields if f.required][:12]
        more = len(kind.fields) - len(needed)
        optional = [f"{javascript_key(f.name)}?" for f in kind.fields if not f.required][: max(0, 12 - len(needed))]
        rest = more - len(optional)
        return "{" + ", ".join([*needed, *optional, *([f"/* {rest} more */"] if rest else [])]) + "}"
    if isinstance(kind, ListOf):
        return f"Array<{_summary(kind.item)}>"
    if isinstance(kind, Union):
        return _cut(typescript(kind))
    return _cut(typescript(kind))


def _cut(text: str) -> str:
    """The head of a type, cut where its brackets are closed again."""
    head = re.split(r"[{<\[(|&]", text, maxsplit=1)[0].strip()
    return f"{head or 'object'} /* ... */" if not text.startswith("{") else "object /* see describe */"
