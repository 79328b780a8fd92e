"""The Portal service over the catalog."""

from collections.abc import Callable, Mapping
from typing import Literal, cast

import grpc

from runtime.portal.declarations import LEAST_BUDGET, MAX_BUDGET, MAX_NAMES
from runtime.portal.finder import Finder
from runtime.portal.offers import Offer, Offers
from runtime.portal.search import BadCursorError
from runtime.portal.signature import signature
from runtime.portal.tool import Tool
from runtime.portal.tool_terms import ToolTerms
from runtime.rpc import portal_pb2 as pb
from runtime.rpc import runtime_pb2, upstream_pb2
from runtime.service.convert import ENVIRONMENTS
from runtime.service.errors import ApiError, bad_fields
from runtime.service.handlers import ServicerContext
from runtime.service.upstream_messages import upstream_messages
from sandboxes.environment import Environment
from sandboxes.profile import Profile

MOST_QUERY = 1_000
MOST_PAGE = 100
DEFAULT_PAGE = 10
_MOST_NAME = 200
_MOST_SKIPPED = 1_000
_MOST_APPROVALS = 100


class PortalServicer:
    """Methods take (request, principal, context) and are named as in the proto."""

    def __init__(
        self,
        finder: Finder,
        offers: Offers | None = None,
        profiles: Callable[[], Mapping[str, Profile]] | None = None,
    ) -> None:
        self._finder = finder
        self._profiles = profiles or dict
        self._offers = offers or Offers()

    def _offer(self, session_id: str, principal: str) -> Offer | None:
        """The functions of a session the caller names. Raises ApiError; somebody else's session is as good as none."""
        if not session_id:
            return None
        offer = self._offers.find(session_id)
        if offer is None or offer.principal != principal:
            message = f'there is no open session "{session_id[:80]}"'
            raise ApiError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_SESSION", message)
        return offer

    async def Search(  # noqa: N802, D102 - named and described in the proto
        self, request: pb.SearchRequest, principal: str, _: ServicerContext
    ) -> pb.SearchResponse:
        limit = request.limit or DEFAULT_PAGE
        if not 1 <= limit <= MOST_PAGE:
            raise bad_fields([("limit", f"is {limit}; 1 to {MOST_PAGE}")])
        if len(request.query) > MOST_QUERY:
            raise bad_fields([("query", f"has {len(request.query)} characters; at most {MOST_QUERY}")])
        offer = self._offer(request.session_id, principal)
        terms = self._terms(request)
        try:
            cursor = request.cursor or None
            page = await self._finder.search(request.query, limit, cursor, offer, reads=request.read_only)
        except BadCursorError as error:
            raise bad_fields([("cursor", str(error))]) from None
        language = language_of(request.language)
        return pb.SearchResponse(
            tools=[self._summary(tool, language, terms) for tool in page.tools],
            next_cursor=page.cursor or "",
            unmatched_terms=page.unmatched,
            catalog_size=len(self._finder.upstreams.catalog.tools),
            upstreams=self._states(),
        )

    def _approvals(self, terms: ToolTerms, *, reads: bool) -> list[pb.ToolApproval]:
        """Of a catalog that is small enough to be declared whole."""
        upstreams = self._finder.upstreams
        catalog = upstreams.catalog.reads if reads else upstreams.catalog
        said = ((tool.full_name, terms.approval(tool, upstreams)) for tool in catalog.tools.values())
        told = [pb.ToolApproval(name=name, approval=approval) for name, approval in said if approval]
        return told[:_MOST_APPROVALS]

    def _terms(self, request: pb.SearchRequest | pb.OverviewRequest) -> ToolTerms | None:
        """What the profile says that the request names; None if it names none. Raises ApiError."""
        if request.environment and request.environment not in ENVIRONMENTS:
            raise bad_fields([("environment", f"there is no environment {request.environment}")])
        if not request.profile:
            return None
        profiles = self._profiles()
        profile = profiles.get(request.profile)
        if profile is None:
            known = ", ".join(sorted(profiles)) or "none"
            raise bad_fields([("profile", f'there is no profile "{request.profile[:100]}"; there are {known}')])
        environment = ENVIRONMENTS.get(request.environment)
        return ToolTerms.of_profile(profile, cast("Environment | None", environment))

    def _summary(
        self, tool: Tool, language: Literal["javascript", "python"], terms: ToolTerms | None
    ) -> pb.ToolSummary:
        return pb.ToolSummary(
            name=tool.full_name,
            signature=signature(tool, language),
            purpose=tool.summary,
            upstream=tool.upstream,
            read_only=tool.read_only,
            deprecated=tool.deprecated,
            approval="" if terms is None else terms.approval(tool, self._finder.upstreams),
        )

    def _states(self) -> list[upstream_pb2.UpstreamState]:
        return [state for state in upstream_messages(self._finder.upstreams) if state.state != "ready"]

    async def Describe(  # noqa: N802, D102
        self, request: pb.DescribeRequest, principal: str, _: ServicerContext
    ) -> pb.DescribeResponse:
        names = list(request.names)
        budget = request.budget_tokens
        if not 1 <= len(names) <= MAX_NAMES:
            raise bad_fields([("names", f"has {len(names)} names; 1 to {MAX_NAMES}")])
        if any(len(name) > _MOST_NAME for name in names):
            raise bad_fields([("names", f"has a name of more than {_MOST_NAME} characters")])
        if budget and not LEAST_BUDGET <= budget <= MAX_BUDGET:
            raise bad_fields([("budget_tokens", f"is {budget}; {LEAST_BUDGET} to {MAX_BUDGET}")])
        offer = self._offer(request.session_id, principal)
        catalog = self._finder.upstreams.catalog
        catalog = catalog if offer is None else offer.beside(catalog)
        catalog = catalog.reads if request.read_only else catalog
        found = await self._finder.describe(names, language_of(request.language), budget, catalog)
        return pb.DescribeResponse(
            declarations=found.text,
            unknown=[pb.UnknownTool(name=name, nearest=catalog.nearest(name)) for name in found.unknown],
            left_out=found.left_out,
        )

    async def ListSkipped(  # noqa: N802, D102
        self, request: pb.ListSkippedRequest, _principal: str, _: ServicerContext
    ) -> pb.ListSkippedResponse:
        limit = request.limit or _MOST_SKIPPED
        if not 1 <= limit <= _MOST_SKIPPED:
            raise bad_fields([("limit", f"is {limit}; 1 to {_MOST_SKIPPED}")])
        states = self._finder.upstreams.states
        if request.upstream and request.upstream not in states:
            known = ", ".join(sorted(states)) or "none"
            raise bad_fields([("upstream", f'there is no upstream "{request.upstream[:80]}"; there are {known}')])
        skipped = self._finder.upstreams.catalog.skipped
        found = [one for one in skipped if request.upstream in {"", one.upstream}]
        return pb.ListSkippedResponse(
            tools=[
                pb.SkippedTool(upstream=one.upstream, original=one.original, reason=one.reason) for one in found[:limit]
            ],
            total=len(found),
        )

    async def Overview(  # noqa: N802, D102
        self, request: pb.OverviewRequest, _principal: str, _: ServicerContext
    ) -> pb.OverviewResponse:
        terms = self._terms(request)
        found = await self._finder.overview(language_of(request.language), reads=request.read_only)
        complete = bool(found.text) and not found.left_out
        return pb.OverviewResponse(
            declarations=found.text,
            complete=complete,
            catalog_size=len(self._finder.upstreams.catalog.tools),
            approvals=[] if terms is None or not complete else self._approvals(terms, reads=request.read_only),
        )


def language_of(number: int) -> Literal["javascript", "python"]:
    """Of declarations: Python if asked for, otherwise TypeScript's notation."""
    return "python" if number == runtime_pb2.LANGUAGE_PYTHON else "javascript"
