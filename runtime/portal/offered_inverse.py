"""How a client says that a call of one of its functions is undone, checked against the function that undoes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from runtime.execution.literal_request import Inverse
from runtime.portal.schema import properties_of, required_of
from runtime.portal.tool import Tool
from sandboxes.upstream import InverseTool


@dataclass(frozen=True, kw_only=True, slots=True)
class OfferedInverse:
    """`name` is that of another function as it was offered; `arguments` are its own, by name: JSON Pointers."""

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)


class BadInverseError(ValueError):
    """An inverse that could not be called."""


def checked_inverse(tool: Tool, offered: OfferedInverse, functions: Mapping[str, Tool]) -> Inverse:
    """What undoes a call of `tool`; `functions`: all that are offered, by their names. Raises BadInverseError."""
    if tool.read_only:
        raise BadInverseError("the function only reads, so there is nothing to undo; leave the inverse out")
    undoing = functions.get(offered.name)
    if undoing is None:
        raise BadInverseError(f'"{offered.name[:80]}" is not offered; an inverse is a function of the same offer')
    try:
        declared = InverseTool(tool=offered.name, arguments=dict(offered.arguments))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(str(part)[:80] for part in first["loc"])
        raise BadInverseError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from None
    _check_names(undoing, declared)
    return Inverse(tool=undoing.full_name, arguments=declared.arguments)


def _check_names(undoing: Tool, declared: InverseTool) -> None:
    """Every argument is one of the function that undoes, and none that it needs is left out."""
    schema = undoing.input.schema
    properties, by_wire = properties_of(schema), {wire: name for name, wire in undoing.renamed.items()}
    given = {by_wire.get(name, name): name for name in declared.arguments}
    if schema.get("additionalProperties") is False and (unknown := [given[name] for name in given.keys() - properties]):
        raise BadInverseError(f'arguments: "{min(unknown)[:80]}" is not an argument of {declared.tool}')
    if missing := [name for name in required_of(schema) if name not in given]:
        raise BadInverseError(f'arguments: {declared.tool} needs "{missing[0][:80]}", which is not among them')
