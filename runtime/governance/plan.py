"""A dry run's plan: the calls that were not sent, each with what would have been."""

import json
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from runtime.execution.call_gate import GatedCall, Planned
from runtime.execution.literal_request import Preview
from runtime.governance.approval_request import ShownRequest
from runtime.governance.shown_request import shown_literal
from sandboxes.approval_decision import ApprovalDecision

MARK: Final = "dry_run"
"""The member of an answer by which a program knows that its call was not made."""
_RESPONSE: Final = ".response"


class PlanEntry(BaseModel):
    """One call that was not sent. `decision` is what the approval rules say of it: allow or ask."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    words: str
    request: ShownRequest
    decision: str
    risk: int


def planned(call: GatedCall, preview: Preview, decision: ApprovalDecision) -> Planned:
    """The entry, and the answer that the program is given in place of one."""
    entry = PlanEntry(
        words=preview.words,
        request=shown_literal(preview.request),
        decision=decision.action,
        risk=decision.risk.score,
    )
    answer: dict[str, Any] = {MARK: True, "number": call.record.number, "tool": preview.tool, "words": preview.words}
    return Planned(plan=entry.model_dump_json(), payload=json.dumps(_as_answered(call, answer, preview)))


def entry_of(plan: str) -> PlanEntry | None:
    """The entry of a record; None where there is none that can be read."""
    try:
        return PlanEntry.model_validate_json(plan) if plan else None
    except ValidationError:
        return None


def _as_answered(call: GatedCall, answer: dict[str, Any], preview: Preview) -> dict[str, Any]:
    """In the form the program expects: a fetch is answered with a response, 200, the placeholder as its JSON."""
    if call.name.endswith(_RESPONSE):
        return {"data": answer, "status": None, "headers": {}, "links": {}, "related": {}, "next": None}
    if preview.tool:
        return answer
    return {
        "url": preview.request.url,
        "redirected": False,
        "status": 200,
        "status_text": "Dry Run",
        "headers": [["content-type", "application/json"], ["lockgate-dry-run", "true"]],
        "body": json.dumps(answer),
        "body_base64": False,
    }
