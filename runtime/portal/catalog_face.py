"""Search and describe as the MCP server shows them: the half of the face that needs no isolate."""

from collections.abc import Sequence

from runtime.portal.face import BadRequestError, DescribeReply, SearchReply, ToolHit
from runtime.portal.finder import Finder
from runtime.portal.search import BadCursorError
from runtime.portal.signature import signature
from runtime.portal.tool import Tool


class CatalogFace:
    """Replies over the catalog of this process."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder

    async def search(self, query: str, limit: int, cursor: str | None) -> SearchReply:
        """Ranked tools with signatures. Raises BadRequestError."""
        try:
            page = await self._finder.search(query, limit, cursor)
        except BadCursorError as error:
            raise BadRequestError(f"cursor: {error}") from None
        return SearchReply(
            tools=tuple(hit_of(tool) for tool in page.tools),
            total=page.total,
            unmatched=page.unmatched,
            cursor=page.cursor,
            unavailable=self.unavailable(),
        )

    def describe(self, names: Sequence[str], language: str = "javascript") -> DescribeReply:
        """Declarations within the default budget. Raises BadRequestError."""
        if not names:
            raise BadRequestError("describe: name the tools to describe, like github.issuesGet")
        found = self._finder.describe(list(names), "python" if language == "python" else "javascript")
        return DescribeReply(
            text=found.text, left_out=found.left_out, unknown=tuple(self._hinted(name) for name in found.unknown)
        )

    def unavailable(self) -> tuple[str, ...]:
        """Every upstream that is not ready, with its reason."""
        states = self._finder.upstreams.states.items()
        return tuple(f"{name} is {state}" for name, state in states if state.phase != "ready")

    def _hinted(self, name: str) -> str:
        near = self._finder.nearest(name)
        return f"{name} (nearest: {', '.join(near)})" if near else name


def hit_of(tool: Tool) -> ToolHit:
    """A tool as a search shows it."""
    return ToolHit(
        name=tool.full_name,
        signature=signature(tool),
        purpose=tool.summary,
        upstream=tool.upstream,
        read_only=tool.read_only,
        deprecated=tool.deprecated,
    )
