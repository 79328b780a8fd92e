"""TypeScript declarations: what a JavaScript program may call, written as it calls it."""

from runtime.portal.comment import about, field_comment, jsdoc, prose
from runtime.portal.signature import inferred_note, result_type
from runtime.portal.tool import Tool
from runtime.portal.type_model import Both, Field, ListOf, MapOf, Named, ObjectOf, Type, Union, Values
from runtime.portal.type_names import TypeNames
from runtime.portal.type_reader import object_fields, read_type
from runtime.portal.type_text import javascript_key, typescript

_WIDE = 100


class TypeScriptWriter:
    """Writes the tools and types of one answer; `names` knows what is still to be declared.

    Objects without a name of their own are written out `nesting` deep.
    """

    def __init__(self, nesting: int = 8) -> None:
        self.names = TypeNames()
        self.nesting = nesting

    def tools(self, tools: list[Tool], prose_limit: int) -> str:
        """All the tools inside one `declare const codemode`."""
        lines = ["declare const codemode: {"]
        for upstream in dict.fromkeys(tool.upstream for tool in tools):
            lines.append(f"  {upstream}: {{")
            for tool in tools:
                if tool.upstream == upstream:
                    lines += self._tool(tool, prose_limit)
            lines.append("  };")
        return "\n".join([*lines, "};"])

    def type(self, name: str, named: Named, prose_limit: int) -> str:
        """One shared type: an interface for an object, an alias for everything else."""
        kind = read_type(named.shape)
        schema = named.shape.schema
        described = schema.get("description", "") if hasattr(schema, "get") else ""
        head = jsdoc(prose(described if isinstance(described, str) else "", prose_limit), "")
        if isinstance(kind, ObjectOf):
            return "\n".join([*head, f"interface {name} {self._block(kind, '', prose_limit, 0)}"])
        return "\n".join([*head, f"type {name} = {self._text(kind, '', prose_limit, 0)};"])

    def _tool(self, tool: Tool, prose_limit: int) -> list[str]:
        doc = about(tool.summary, tool.description, prose_limit)
        doc += ["Only reads."] if tool.read_only else []
        doc += [note] if (note := inferred_note(tool)) else []
        doc += ["@deprecated"] if tool.deprecated else []
        fields = object_fields(tool.input)
        arguments = ""
        if fields:
            optional = "" if any(f.required for f in fields) else "?"
            block = self._block(ObjectOf(fields=fields), "    ", prose_limit, 0)
            arguments = f"args{optional}: {block}"
        result = self._text(result_type(tool), "    ", prose_limit, 0)
        return [*jsdoc(doc, "    "), f"    {tool.name}({arguments}): Promise<{result}>;"]

    def _text(self, kind: Type, indent: str, prose_limit: int, depth: int) -> str:
        match kind:
            case ObjectOf():
                return self._block(kind, indent, prose_limit, depth)
            case ListOf(item) if _has_object(item):
                return f"Array<{self._text(item, indent, prose_limit, depth + 1)}>"
            case MapOf(value) if _has_object(value):
                return f"Record<string, {self._text(value, indent, prose_limit, depth + 1)}>"
            case Union(options) if any(map(_has_object, options)):
                return " | ".join(self._text(option, indent, prose_limit, depth + 1) for option in options)
            case Both(parts):
                return " & ".join(self._wrapped(part, indent, prose_limit, depth + 1) for part in parts)
            case _:
                return typescript(kind, self.names.name_of)

    def _wrapped(self, kind: Type, indent: str, prose_limit: int, depth: int) -> str:
        text = self._text(kind, indent, prose_limit, depth)
        return f"({text})" if isinstance(kind, Union | Values) and " | " in text else text

    def _block(self, kind: ObjectOf, indent: str, prose_limit: int, depth: int) -> str:
        if depth > self.nesting:
            return "Record<string, unknown>"
        inner = indent + "  "
        lines = ["{"]
        for field in kind.fields:
            lines += self._field(field, inner, prose_limit, depth)
        if kind.extra is not None:
            lines.append(f"{inner}[key: string]: unknown;")
        return "\n".join([*lines, f"{indent}}}"])

    def _field(self, field: Field, indent: str, prose_limit: int, depth: int) -> list[str]:
        comment = field_comment(field, prose_limit)
        text = self._text(field.type, indent, prose_limit, depth + 1)
        line = f"{indent}{javascript_key(field.name)}{'' if field.required else '?'}: {text};"
        if comment and "\n" not in line and len(line) + len(comment) < _WIDE:
            return [f"{line} // {comment}"]
        return [*jsdoc(prose(comment, prose_limit + 200), indent), line]


def _has_object(kind: Type) -> bool:
    match kind:
        case ObjectOf() | Both():
            return True
        case ListOf(inner) | MapOf(inner):
            return _has_object(inner)
        case Union(options):
            return any(map(_has_object, options))
        case _:
            return False
