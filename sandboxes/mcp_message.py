"""MCP over HTTP: which tools a message calls with which arguments, and what a rule says of that."""

from collections.abc import Iterable
from typing import Any, Self

from pydantic import Field, model_validator

from .field_rule import ArgumentRule
from .json_rpc import Call, NamePattern, name_matches
from .model import FrozenModel

# What a client needs to find and call tools, and nothing that acts by itself.
HANDSHAKE = (
    "initialize",
    "ping",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/progress",
    "tools/list",
)
TOOL_CALL = "tools/call"


class McpRule(FrozenModel):
    """Messages that find tools, and calls of these tools. A GET or DELETE without a body carries no message."""

    tools: tuple[NamePattern, ...] = Field((), description='Tools that may be called; exact, or with "*" at the end.')
    arguments: dict[str, dict[str, ArgumentRule]] = Field(
        default_factory=dict, max_length=200, description="By tool and argument; every argument not named is free."
    )
    methods: tuple[NamePattern, ...] = Field(
        (), description="Further MCP methods, such as resources/read. tools/call is decided by tools alone."
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        for tool in self.arguments:
            if not any(name_matches(pattern, tool) for pattern in self.tools):
                raise ValueError(f'arguments names the tool "{tool}", which tools does not allow')
        return self

    def fault(self, call: Call) -> str | None:
        """Why one message is not allowed, or None."""
        if call.method is None:
            # The answer to a ping; anything else would answer a question nobody decided about.
            return None if call.result == {} else "is a response, and only calls are allowed"
        if call.method == TOOL_CALL:
            return self._tool_fault(call.params)
        if call.method in HANDSHAKE or any(name_matches(pattern, call.method) for pattern in self.methods):
            return None
        return f'calls "{call.method[:80]}", which the rule does not name'

    def _tool_fault(self, params: Any) -> str | None:
        try:
            name, arguments = tool_call(params)
        except ValueError as error:
            return str(error)
        if not any(name_matches(pattern, name) for pattern in self.tools):
            return f'calls the tool "{name[:80]}", which the rule does not name'
        for argument, wanted in self.arguments.get(name, {}).items():
            if has_alike(arguments, argument):
                return f'has an argument that some servers read as "{argument}"'
            said = wanted.fault(present=argument in arguments, value=arguments.get(argument))
            if said is not None:
                return f'calls "{name}" with an argument "{argument}" that {said}'
        return None


def tool_call(params: Any) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a `tools/call`. Raises ValueError if the params are not one, or could be two."""
    if not isinstance(params, dict) or has_alike(params, "name") or has_alike(params, "arguments"):
        raise ValueError("has params that are not those of tools/call, or could be read in two ways")
    name, arguments = params.get("name"), params.get("arguments", {})
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise ValueError("has no tool name, or arguments that are not an object")  # noqa: TRY004 - what a client sent
    return name, arguments


def has_alike(members: Iterable[str], name: str) -> bool:
    """Whether a name differs from `name` only for servers that look closely."""
    return any(key != name and key.partition("\0")[0].strip().casefold() == name.casefold() for key in members)
