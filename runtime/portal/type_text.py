"""A type on one line, in TypeScript or in Python."""

import json
import re
from collections.abc import Callable
from typing import Any, Final

from runtime.portal.type_model import Both, ListOf, MapOf, Named, ObjectOf, Plain, TupleOf, Type, Union, Values

_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_TYPESCRIPT: Final = {"integer": "number"}
_PYTHON: Final = {
    "unknown": "Any",
    "never": "Never",
    "null": "None",
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "string": "str",
}

type NameOf = Callable[[Named], str]


def own_name(named: Named) -> str:
    """The name a type asked for."""
    return named.name


def typescript(kind: Type, name_of: NameOf = own_name) -> str:
    """`Array<{id: number, labels?: string[]}>` and the like; valid TypeScript."""
    match kind:
        case Plain(name):
            return _TYPESCRIPT.get(name, name)
        case Values(values):
            return " | ".join(javascript_literal(value) for value in values)
        case ListOf(item):
            text = typescript(item, name_of)
            return f"{text}[]" if re.fullmatch(r"[\w$]+(\[\])*", text) else f"Array<{text}>"
        case TupleOf(items, rest):
            parts = [typescript(item, name_of) for item in items]
            return f"[{', '.join([*parts, *([f'...Array<{typescript(rest, name_of)}>'] if rest else [])])}]"
        case MapOf(value):
            return f"Record<string, {typescript(value, name_of)}>"
        case ObjectOf():
            return _object(kind, name_of)
        case Union(options):
            return " | ".join(typescript(option, name_of) for option in options)
        case Both(parts):
            return " & ".join(_wrapped(part, name_of) for part in parts)
        case Named():
            return name_of(kind)


def python(kind: Type, name_of: NameOf = own_name) -> str:
    """`list[Issue | None]` and the like; an object without a name of its own is `dict[str, Any]`."""
    match kind:
        case Plain(name):
            return _PYTHON[name]
        case Values(values):
            return _python_values(values)
        case ListOf(item):
            return f"list[{python(item, name_of)}]"
        case TupleOf(items, rest):
            parts = tuple(dict.fromkeys(python(each, name_of) for each in (*items, *([rest] if rest else []))))
            return f"list[{' | '.join(parts) or 'Any'}]"
        case MapOf(value):
            return f"dict[str, {python(value, name_of)}]"
        case ObjectOf() | Both():
            return "dict[str, Any]"
        case Union(options):
            return " | ".join(dict.fromkeys(python(option, name_of) for option in options))
        case Named():
            return name_of(kind)


def javascript_key(name: str) -> str:
    """A property name as TypeScript writes it."""
    return name if _KEY.fullmatch(name) else javascript_literal(name)


def javascript_literal(value: Any) -> str:
    """A JSON scalar as a JavaScript literal, safe on one line and in any file."""
    return json.dumps(value, ensure_ascii=True)


def python_literal(value: Any) -> str:
    """A JSON scalar as a Python literal, in ASCII."""
    return ascii(value)


def _object(kind: ObjectOf, name_of: NameOf) -> str:
    named = [(f"{javascript_key(f.name)}{'' if f.required else '?'}", f.type) for f in kind.fields]
    fields = [f"{name}: {typescript(each, name_of)}" for name, each in named]
    if kind.extra is not None:
        fields.append("[key: string]: unknown")
    return "{" + ", ".join(fields) + "}"


def _wrapped(kind: Type, name_of: NameOf) -> str:
    text = typescript(kind, name_of)
    return f"({text})" if isinstance(kind, Union | Values) and " | " in text else text


def _python_values(values: tuple[Any, ...]) -> str:
    plain = [value for value in values if not isinstance(value, float) and value is not None]
    parts = [f"Literal[{', '.join(python_literal(value) for value in plain)}]"] if plain else []
    parts += ["float"] if any(isinstance(value, float) for value in values) else []
    return " | ".join([*parts, *(["None"] if None in values else [])])
