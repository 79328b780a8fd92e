"""Resources and prompts of MCP servers as ordinary tools of the catalog, where a server has any. They only read.

They are Lockgate's own, so there is nothing of the server's in them to be reviewed. `allow` and `deny` know them by the
protocol's methods.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import mcp_types
from mcp.client.client import Client

from runtime.portal.mcp_listing import Offered
from runtime.portal.mcp_tools import McpBinding, ToolChoice
from runtime.portal.schema import Shape
from runtime.portal.tool import SkippedTool, Tool, one_line

type _Schema = dict[str, Any]
_TEXT: Final[_Schema] = {"type": "string"}
_ANY: Final[_Schema] = {"type": "object"}
_CURSOR: Final[_Schema] = {
    "type": "object",
    "properties": {"cursor": {"type": "string", "description": "nextCursor of the page before"}},
    "additionalProperties": False,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Helper:
    method: str
    name: str
    description: str
    input: _Schema
    output: _Schema


def _object(needed: list[str], /, **properties: _Schema) -> _Schema:
    return {"type": "object", "properties": properties, "required": needed}


def _page(member: str, item: _Schema) -> _Schema:
    return _object([member], **{member: {"type": "array", "items": item}, "nextCursor": _TEXT})


_HELPERS: Final = (
    _Helper(
        method="resources/list",
        name="resources_list",
        description="List the resources this server has, by URI.",
        input=_CURSOR,
        output=_page(
            "resources",
            _object(
                ["uri", "name"], uri=_TEXT, name=_TEXT, title=_TEXT, description=_TEXT, mimeType=_TEXT,
                size={"type": "integer"},
            ),
        ),
    ),
    _Helper(
        method="resources/templates/list",
        name="resources_templates",
        description="List the templates of resource URIs (RFC 6570) this server has; fill one in and read it.",
        input=_CURSOR,
        output=_page(
            "resourceTemplates",
            _object(
                ["uriTemplate", "name"], uriTemplate=_TEXT, name=_TEXT, title=_TEXT, description=_TEXT, mimeType=_TEXT
            ),
        ),
    ),
    _Helper(
        method="resources/read",
        name="resources_read",
        description="Read a resource of this server by its URI: text, or base64 in blob.",
        input=_object(["uri"], uri=_TEXT) | {"additionalProperties": False},
        output=_object(
            ["contents"],
            contents={"type": "array", "items": _object(["uri"], uri=_TEXT, mimeType=_TEXT, text=_TEXT, blob=_TEXT)},
        ),
    ),
    _Helper(
        method="prompts/list",
        name="prompts_list",
        description="List the prompts this server has, with their arguments.",
        input=_CURSOR,
        output=_page(
            "prompts",
            _object(
                ["name"], name=_TEXT, title=_TEXT, description=_TEXT,
                arguments={
                    "type": "array",
                    "items": _object(["name"], name=_TEXT, description=_TEXT, required={"type": "boolean"}),
                },
            ),
        ),
    ),
    _Helper(
        method="prompts/get",
        name="prompts_get",
        description="Get a prompt of this server by name, its arguments filled in, as messages.",
        input=_object(
            ["name"], name=_TEXT, arguments={"type": "object", "additionalProperties": {"type": "string"}}
        )
        | {"additionalProperties": False},
        output=_object(
            ["messages"],
            description=_TEXT,
            messages={"type": "array", "items": _object(["role", "content"], role=_TEXT, content=_ANY)},
        ),
    ),
)  # fmt: skip


def helper_tools(
    upstream: str, offered: Offered, taken: Collection[str], choice: ToolChoice | None = None
) -> tuple[tuple[Tool, ...], tuple[SkippedTool, ...]]:
    """The tools, and those the operator leaves out. A name that a tool of the server has gets `mcp_` before it."""
    choice = choice or ToolChoice()
    names, tools, skipped = set(taken), [], []
    for helper in _HELPERS:
        if not _wanted(helper.method, offered):
            continue
        if reason := choice.refusal(helper.method):
            skipped.append(SkippedTool(upstream=upstream, original=helper.method, reason=reason))
            continue
        name = choice.aliases.get(helper.method, helper.name)
        while name in names:
            name = f"mcp_{name}"
        names.add(name)
        tools.append(_tool(upstream, name, helper))
    return tuple(tools), tuple(skipped)


def _wanted(method: str, offered: Offered) -> bool:
    if method == "resources/templates/list":
        return offered.templates
    if method.startswith("resources/"):
        return offered.resources or offered.templates
    return offered.prompts


def _tool(upstream: str, name: str, helper: _Helper) -> Tool:
    return Tool(
        upstream=upstream,
        name=name,
        original=helper.method,
        summary=one_line(helper.description),
        description=helper.description,
        input=Shape(schema=helper.input, root=helper.input),
        output=Shape(schema=helper.output, root=helper.output),
        read_only=True,
        binding=McpBinding(name=helper.method, method=helper.method),
    )


async def ask_helper(client: Client, method: str, arguments: dict[str, Any]) -> Any:
    """What the server answers, by the protocol's names. Raises MCPError."""
    cursor = arguments.get("cursor")
    match method:
        case "resources/list":
            listed = await client.list_resources(cursor=cursor)
            return _page_value(listed, "resources", listed.resources)
        case "resources/templates/list":
            templates = await client.list_resource_templates(cursor=cursor)
            return _page_value(templates, "resourceTemplates", templates.resource_templates)
        case "resources/read":
            read = await client.read_resource(arguments["uri"])
            return {"contents": [_value(each) for each in read.contents]}
        case "prompts/list":
            prompts = await client.list_prompts(cursor=cursor)
            return _page_value(prompts, "prompts", prompts.prompts)
        case _:
            prompt = await client.get_prompt(arguments["name"], arguments.get("arguments"))
            described = {} if prompt.description is None else {"description": prompt.description}
            return {**described, "messages": [_value(each) for each in prompt.messages]}


def _page_value(page: mcp_types.PaginatedResult, member: str, items: Any) -> dict[str, Any]:
    value = {member: [_value(each) for each in items]}
    return value if page.next_cursor is None else {**value, "nextCursor": page.next_cursor}


def _value(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)
