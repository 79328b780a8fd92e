"""Text of strangers inside comments of declarations: it must not end them."""

from typing import Final

from runtime.portal.type_model import Field

LINE: Final = 110


def prose(text: str, limit: int) -> list[str]:
    """At most `limit` characters of a text as printable lines; none where the limit is 0."""
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    cut = printable if len(printable) <= limit else f"{printable[: max(0, limit - 3)].rstrip()}..."
    lines = [" ".join(line.split()) for line in cut.strip().splitlines()] if limit else []
    return [part for line in lines if line for part in _wrapped(line)]


def about(summary: str, description: str, limit: int) -> list[str]:
    """What a tool is for: its summary, and its description where that says more."""
    told = description.strip()
    if not limit or not told:
        return prose(summary, 200)
    return (
        prose(told, limit)
        if told.startswith(summary.removesuffix("..."))
        else [*prose(summary, 200), *prose(told, limit)]
    )


def field_comment(field: Field, limit: int) -> str:
    """Description and facts of a property on one line."""
    said = " ".join(prose(field.description, limit))
    facts = [*(["deprecated"] if field.deprecated else []), *field.notes]
    noted = "; ".join(" ".join(prose(fact, 80)) for fact in facts) if limit else ""
    return f"{said} ({noted})" if said and noted else said or noted


def jsdoc(lines: list[str], indent: str) -> list[str]:
    """A JSDoc block; nothing for no lines."""
    safe = [line.replace("*/", "*\\/") for line in lines]
    if not safe:
        return []
    if len(safe) == 1:
        return [f"{indent}/** {safe[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}" for line in safe), f"{indent} */"]


def docstring(lines: list[str], indent: str) -> list[str]:
    """A Python docstring; nothing for no lines."""
    safe = [line.replace("\\", "\\\\").replace('"""', "'''") for line in lines]
    if not safe:
        return []
    if len(safe) == 1 and not safe[0].endswith('"'):
        return [f'{indent}"""{safe[0]}"""']
    return [f'{indent}"""{safe[0]}', *(f"{indent}{line}" for line in safe[1:]), f'{indent}"""']


def _wrapped(line: str) -> list[str]:
    parts: list[str] = []
    while len(line) > LINE:
        space = line.rfind(" ", 0, LINE)
        end = space if space > 0 else LINE
        parts.append(line[:end])
        line = line[end:].lstrip()
    return [*parts, line] if line else parts
