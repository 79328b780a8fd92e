"""What an MCP tool answered, as a value for the program or an error. Nothing of an answer is lost.

- `structuredContent` is the value where there is any. Blocks beside it go under `_content` (or beside it as
  `{structured, content}` if it is not an object), but for text that only repeats it, as the protocol recommends.
- Otherwise one block is the value, several are an array, none is null.
- A text block is its text, or parsed JSON where the text is a JSON object or array; numbers, true and quoted
  text stay text. Every other block is itself: `{type: "image", data, mimeType}` and so on.
"""

import json
from typing import Any, Final

import mcp_types
from mcp.shared.exceptions import MCPError

from runtime.execution.hostcall import Code, HostCallError
from runtime.portal.tool import Tool
from sandboxes.bounded_json import MOST_ANSWER_VALUES, loads

MAX_DETAIL_CHARACTERS: Final = 8 << 10
_MESSAGE: Final = 500

TOO_LARGE: Final = -32_010
"""Of an error made in this process, for an answer that was not read."""
_CODES: Final[dict[int, Code]] = {
    mcp_types.CONNECTION_CLOSED: "unavailable",
    mcp_types.REQUEST_TIMEOUT: "timeout",
    mcp_types.METHOD_NOT_FOUND: "not_found",
    mcp_types.INVALID_PARAMS: "invalid_argument",
    TOO_LARGE: "limit",
}
_LOST: Final = frozenset({mcp_types.CONNECTION_CLOSED, mcp_types.REQUEST_TIMEOUT})


def read_result(tool: Tool, result: mcp_types.CallToolResult) -> Any:
    """The value of a call. Raises HostCallError where the tool says it failed."""
    if result.is_error:
        raise _failed(tool, result)
    if result.structured_content is not None:
        return _structured(result)
    values = [block_value(block) for block in result.content]
    if not values:
        return None
    return values[0] if len(values) == 1 else values


def block_value(block: mcp_types.ContentBlock) -> Any:
    """One content block as JSON."""
    if isinstance(block, mcp_types.TextContent):
        return _text_value(block.text)
    return block.model_dump(mode="json", by_alias=True, exclude_none=True)


def protocol_failure(tool: Tool, error: MCPError) -> HostCallError:
    """The program's error for an error of the protocol."""
    lost = error.code in _LOST
    unknown = "; whether the tool did its work is not known" if lost and not tool.read_only else ""
    return HostCallError(
        _CODES.get(error.code, "upstream_error"),
        f"{tool.full_name}: {error.message[:_MESSAGE]}{unknown}",
        retryable=lost and tool.read_only,
        tool=tool.full_name,
        details=_bounded(error.data),
    )


def _structured(result: mcp_types.CallToolResult) -> Any:
    texts = [block.text for block in result.content if isinstance(block, mcp_types.TextContent)]
    dropped = mcp_types.TextContent if _repeats(texts, result.structured_content) else ()
    others = [block_value(block) for block in result.content if not isinstance(block, dropped)]
    if not others:
        return result.structured_content
    if isinstance(result.structured_content, dict):
        return {**result.structured_content, "_content": others}
    return {"structured": result.structured_content, "content": others}


def _repeats(texts: list[str], structured: Any) -> bool:
    """Whether texts say what the structured content says: all of it, its only member `result`, or that item by item."""
    told = [structured]
    if isinstance(structured, dict) and set(structured) == {"result"}:
        told.append(structured["result"])
    if len(texts) == 1 and any(_says(texts[0], value) for value in told):
        return True
    items = told[-1]
    return isinstance(items, list) and len(items) == len(texts) and all(map(_says, texts, items))


def _says(text: str, value: Any) -> bool:
    if isinstance(value, dict | list):
        return bool(_text_value(text) == value)
    return text == value or text.strip() in {str(value), json.dumps(value)}


def _text_value(text: str) -> Any:
    stripped = text.strip()
    if not stripped or stripped[0] not in "{[" or stripped[-1] not in "}]":
        return text
    try:
        return loads(stripped, most_values=MOST_ANSWER_VALUES, parse_constant=_no_constant)
    except ValueError:
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _failed(tool: Tool, result: mcp_types.CallToolResult) -> HostCallError:
    said = " ".join(block.text for block in result.content if isinstance(block, mcp_types.TextContent)).strip()
    details = result.structured_content
    if details is None:
        values = [block_value(block) for block in result.content]
        details = values[0] if len(values) == 1 else values or None
    return HostCallError(
        "upstream_error",
        f"{tool.full_name}: {said[:_MESSAGE] or 'the tool failed without saying why'}",
        tool=tool.full_name,
        details=_bounded(details),
    )


def _bounded(details: Any) -> Any:
    if details is None:
        return None
    text = json.dumps(details, ensure_ascii=False, default=str)
    return details if len(text) <= MAX_DETAIL_CHARACTERS else f"{text[:MAX_DETAIL_CHARACTERS]}..."
