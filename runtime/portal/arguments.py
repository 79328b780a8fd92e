"""The arguments of a call as the upstream wants them, or an error that says what was wrong and what was expected."""

from typing import Any

from runtime.execution.hostcall import HostCallError
from runtime.portal.schema import properties_of, required_of
from runtime.portal.signature import Language, signature
from runtime.portal.tool import Tool
from runtime.portal.validation import check


def checked_arguments(tool: Tool, arguments: Any, language: Language = "javascript") -> dict[str, Any]:
    """The arguments by the names of `tool.input`. Raises HostCallError `invalid_argument`, the signature in `language`.

    The upstream's own name of a renamed argument is taken as well, and a null for an optional argument that
    does not know null is the same as leaving it out.
    """
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise _refusal(tool, ["expected one object with the arguments by name"], language)
    schema = tool.input.schema
    properties, required = properties_of(schema), required_of(schema)
    named = _renamed(tool, arguments, properties)
    kept = {
        name: value
        for name, value in named.items()
        if value is not None
        or name in required
        or name not in properties
        or not check(tool.input.at(properties[name]), None)
    }
    if problems := check(tool.input, kept):
        raise _refusal(tool, [str(problem) for problem in problems], language)
    return kept


def wire_arguments(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments by the upstream's own names."""
    return {tool.renamed.get(name, name): value for name, value in arguments.items()}


def _renamed(tool: Tool, arguments: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
    by_wire = {wire: name for name, wire in tool.renamed.items()}
    return {
        by_wire[name] if name in by_wire and name not in properties and by_wire[name] not in arguments else name: value
        for name, value in arguments.items()
    } if by_wire else dict(arguments)  # fmt: skip


def _refusal(tool: Tool, problems: list[str], language: Language) -> HostCallError:
    shape = signature(tool, language)
    return HostCallError(
        "invalid_argument",
        f"{tool.full_name}: {'; '.join(problems)}. Signature: {shape}",
        tool=tool.full_name,
        details={"problems": problems, "signature": shape},
    )
