"""Approvals put to the person at an MCP client, as a form: yes or no, and why. Nothing secret is ever asked for."""

import logging
from typing import Any, Final

import mcp_types
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from runtime.portal.face import Ask, Said, Waiting

log = logging.getLogger(__name__)

MOST_REASON: Final = 2_000
_ELICITS: Final = mcp_types.ClientCapabilities(elicitation=mcp_types.ElicitationCapability())
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "approve": {"type": "boolean", "title": "Approve", "description": "Whether this call may be made."},
        "reason": {"type": "string", "title": "Reason", "description": "Why; the program is told with a refusal."},
    },
    "required": ["approve"],
}


def ask_of(context: ServerRequestContext[Any, Any]) -> Ask | None:
    """How to ask the person at the client; None where the client does not offer it."""
    if not context.session.check_client_capability(_ELICITS):
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
