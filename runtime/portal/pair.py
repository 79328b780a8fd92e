"""The two tools every MCP client sees, whatever stands behind them. Words here cost every model, every time."""

from typing import Any, Final

import mcp_types

from runtime.portal.face import Overview
from runtime.portal.reply_text import approval_lines

SEARCH: Final = "search"
EXECUTE: Final = "execute"
NAME: Final = "lockgate"

INSTRUCTIONS: Final = (
    "Lockgate runs programs over many tools. Search for tools, unless execute declares them, then write one program "
    "that calls them as `codemode.<upstream>.<tool>(...)`; only what it returns comes back, so filter and combine "
    "inside it. The tools found are not MCP tools: they exist inside a program only."
)

_SEARCH_DESCRIPTION: Final = (
    "Find tools for a program. `query`: words or a tool's name; answers with signatures. "
    '`describe`: names from a search; answers with full types; ["how-to"]: with a guide. '
    "`code`: a program over the catalog: `await codemode.tools()` (all: name, purpose, read_only), "
    "`codemode.search(query)`, `codemode.describe(names)`."
)

_EXECUTE_DESCRIPTION: Final = """\
Run a JavaScript or Python program; answers with the value of `return`, as JSON.
JavaScript: `const i = await codemode.github.issuesGet({issue_number: 1}); return i.title;` or \
`return Promise.all(inputs.map(id => codemode.up.get({id})))`
Python: `i = await codemode.up.get(id=1); return i["title"]` or \
`import asyncio; return await asyncio.gather(*[codemode.up.get(id=n) for n in inputs])`
A failed call throws: error.code, .status, .message, .retryable. Page after page: \
`for await (const page of codemode.up.list.pages({...}))` / `async for`. `fetch`: where the profile \
allows. `inputs` holds the given inputs. console.log / print are shown. No packages, no files."""
_READ_ONLY: Final = "Here only tools marked [reads] can be called, and no fetch."

_COMPLETE: Final = "These are all the tools; no search is needed:"
_PARTIAL: Final = "Some of the tools; search for the others:"


def tools(overview: Overview | None = None, *, read_only: bool = False) -> list[mcp_types.Tool]:
    """The pair, as tools/list gives it; `overview` is what of the catalog is told at once."""
    described = f"{_EXECUTE_DESCRIPTION}\n{_READ_ONLY}" if read_only else _EXECUTE_DESCRIPTION
    return [
        mcp_types.Tool(
            name=SEARCH,
            description=_SEARCH_DESCRIPTION,
            input_schema=_schema(
                {
                    "query": {"type": "string"},
                    "describe": {"type": "array", "items": {"type": "string"}},
                    "code": {"type": "string"},
                    "detail": {"enum": ["names", "signatures", "full"]},
                    "language": {"enum": ["javascript", "python"]},
                    "limit": {"type": "integer", "minimum": 1, "maximum": 50},
                    "cursor": {"type": "string"},
                }
            ),
            output_schema=_object("tools"),
            annotations=mcp_types.ToolAnnotations(read_only_hint=True),
        ),
        mcp_types.Tool(
            name=EXECUTE,
            description=_with_overview(described, overview or Overview()),
            input_schema=_schema(
                {
                    "code": {"type": "string"},
                    "language": {"enum": ["javascript", "typescript", "python"]},
                    "inputs": {},
                    "profile": {"type": "string"},
                    "resume": {"type": "string"},
                },
            ),
            output_schema=_object("status", "result"),
            annotations=mcp_types.ToolAnnotations(read_only_hint=read_only or None, destructive_hint=not read_only),
        ),
    ]


def _with_overview(described: str, overview: Overview) -> str:
    if not overview.text:
        return described
    said = [described, _COMPLETE if overview.complete else _PARTIAL, overview.text]
    return "\n".join([*said, *approval_lines(overview.approvals)])


def _schema(properties: dict[str, Any], required: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _object(*names: str) -> dict[str, Any]:
    """An output schema. Nothing is required: an answer to `describe` has other members than one to `query`."""
    return {"type": "object", "properties": {name: {} for name in names}}
