"""Approvals put to the person at an MCP client, as a form: yes or no, and why. Nothing secret is ever asked for."""

import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

import mcp_types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from runtime.portal.face import Ask, ExecuteReply, Said, Waiting

log = logging.getLogger(__name__)

MOST_REASON: Final = 2_000
_IN_ANSWERS: Final = "2026-07-28"
_ELICITS: Final = mcp_types.ClientCapabilities(elicitation=mcp_types.ElicitationCapability())
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "title": "Approve", "description": "Whether this call may be made."},
        "reason": {"type": "string", "title": "Reason", "description": "Why; the program is told with a refusal."},
    },
    "required": ["approve"],
}


type _Context = ServerRequestContext[Any, Any]


def ask_of(context: _Context) -> Ask | None:
    """How to ask the person at the client; None where the client does not offer it."""
    if not offers_forms(context) or asks_in_answers(context):
        return None

    async def ask(waiting: Waiting) -> Said | None:
        try:
            answer = await context.session.elicit_form(question(waiting), _FORM, context.request_id)
        except MCPError as error:
            # No way back to the client, or it answers that it cannot: whoever else decides, decides.
            log.info("the question about %s was not put to anybody: %s", waiting.approval_id, error)
            return None
        return said_of(answer)

    return ask


def offers_forms(context: _Context) -> bool:
    """Whether the client can put a form to a person."""
    return context.session.check_client_capability(_ELICITS)


def asks_in_answers(context: _Context) -> bool:
    """Whether questions go as answers, after which the client sends its request again: since 2026-07-28."""
    return context.protocol_version >= _IN_ANSWERS


def ask_from(responses: Mapping[str, Any]) -> Ask:
    """What the client brought with its request sent again, by the approvals' ids."""

    async def ask(waiting: Waiting) -> Said | None:
        answer = responses.get(waiting.approval_id)
        return said_of(answer) if isinstance(answer, mcp_types.ElicitResult) else None

    return ask


def input_required(reply: ExecuteReply, answered: Collection[str]) -> mcp_types.InputRequiredResult | None:
    """The questions of a paused program as an answer; None where there is none that was not asked before."""
    fresh = [each for each in reply.waiting if each.approval_id not in answered]
    if reply.status != "paused" or not fresh:
        return None
    requests = {
        each.approval_id: mcp_types.ElicitRequest(
            params=mcp_types.ElicitRequestFormParams(message=question(each), requested_schema=_FORM)
        )
        for each in fresh
    }
    return mcp_types.InputRequiredResult(input_requests=requests, request_state=reply.execution_id)


def question(waiting: Waiting) -> str:
    """The words of the question."""
    return (
        f"A program wants to call {waiting.target}, which needs a person's approval.\n{waiting.words}\n"
        f"Approval {waiting.approval_id}, open until {waiting.expires_at}."
    )


def said_of(answer: mcp_types.ElicitResult) -> Said | None:
    """What the person said. Only a form that was accepted with `approve` true approves; closing it decides nothing."""
    if answer.action == "cancel":
        return None
    content = answer.content or {}
    reason = content.get("reason")
    words = reason[:MOST_REASON] if isinstance(reason, str) else ""
    approved = answer.action == "accept" and content.get("approve") is True
    return Said(approved=approved, reason=words or ("" if approved else "the person at the client declined"))
