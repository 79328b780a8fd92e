"""From a call that needs a human to what the human is shown."""

import json
from typing import Any

from runtime.execution.call_gate import GatedCall
from runtime.execution.host_calls import FETCH
from runtime.execution.literal_request import LiteralRequest, Preview
from runtime.governance.approval_request import (
    MOST_BODY,
    MOST_EARLIER,
    ApprovalRequest,
    ShownCall,
    ShownFactor,
    ShownInverse,
    ShownRequest,
)
from runtime.governance.program_lines import marked_lines
from sandboxes.approval_decision import ApprovalDecision
from sandboxes.approval_digest import Binding
from sandboxes.masking import masked, masked_body, masked_headers, masked_text, masked_url


def request_of(
    call: GatedCall, preview: Preview, decision: ApprovalDecision, binding: Binding, why_again: str = ""
) -> ApprovalRequest:
    """All that the one who decides is shown. `why_again`: why this is asked although it was asked before."""
    program, caller = call.execution.program, call.execution.program.caller
    lines, cut = marked_lines(program.code, preview.tool)
    earlier = [each for each in call.execution.calls if each.number < call.record.number]
    return ApprovalRequest(
        actor=caller.actor,
        owner=caller.owner,
        principal=caller.principal,
        environment=caller.environment,
        reason=caller.reason,
        execution=call.execution.id,
        call=call.record.number,
        kind="fetch" if call.kind == FETCH else "tool",
        tool=preview.tool,
        words=masked_text(f"{preview.words}. {why_again}" if why_again else preview.words),
        arguments=shown_arguments(preview, kind=call.kind),
        request=shown_literal(preview.request),
        target=preview.target,
        profile=f"{program.profile.name} version {program.profile.version}",
        binding={"schema": binding.schema, "policy": binding.policy},
        rule=decision.rule,
        rule_reason=decision.reason,
        risk=decision.risk.score,
        factors=tuple(ShownFactor(weight=each.weight, reason=each.reason) for each in decision.risk.factors),
        language=program.language,
        program=lines,
        program_cut=cut,
        earlier=tuple(
            ShownCall(number=each.number, target=each.target, outcome=each.outcome, read_only=each.read_only)
            for each in earlier[-MOST_EARLIER:]
        ),
        earlier_left_out=max(0, len(earlier) - MOST_EARLIER),
        rollback=ShownInverse(tool=preview.inverse.tool, arguments=preview.inverse.arguments)
        if preview.inverse is not None
        else None,
        self_approval=decision.self_approval,
    )


def shown_arguments(preview: Preview, *, kind: int) -> dict[str, Any]:
    """The arguments without secrets; those of a fetch are its request, whose parts have rules of their own."""
    shown: dict[str, Any] = masked(preview.arguments)
    if kind != FETCH:
        return shown
    literal = shown_literal(preview.request)
    parts = {"url": literal.url, "headers": [list(pair) for pair in literal.headers], "body": literal.body}
    return {**shown, **{name: value for name, value in parts.items() if name in shown}}


def shown_literal(request: LiteralRequest) -> ShownRequest:
    """A literal request without secrets, its body cut where it is long."""
    body = request.body if request.base64 else masked_body(request.body)
    return ShownRequest(
        protocol=request.protocol,
        method=request.method,
        url=masked_url(request.url),
        headers=masked_headers(request.headers),
        body=body[:MOST_BODY],
        base64=request.base64,
        cut=len(body) > MOST_BODY,
    )


def literal_json(request: LiteralRequest) -> str:
    """A shown literal request as JSON text."""
    return json.dumps(shown_literal(request).model_dump(mode="json"), ensure_ascii=False)
