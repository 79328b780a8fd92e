"""The gate before every host call: what the profile's approval rules say, and what people have said.

Security boundary. A call that needs a human passes here only with a decision that is bound to exactly this call.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from runtime.execution.call_gate import GatedCall, Passed, Refused, Suspended, Verdict
from runtime.execution.execution import Execution
from runtime.execution.host_calls import FETCH, Fetcher, Tools
from runtime.execution.literal_request import Preview
from runtime.governance.approval import new_approval_id
from runtime.governance.approvals import Approvals
from runtime.governance.plan import planned
from runtime.governance.shown_request import request_of
from runtime.store.changes import UseApproval
from runtime.store.records import ApprovalRow
from sandboxes.approval_decision import ApprovalDecision, decide_approval
from sandboxes.approval_digest import Binding, binding_digest
from sandboxes.call_facts import CallFacts
from sandboxes.narrowing import NotNarrowerError, edits_of, narrowed
from sandboxes.profile import Profile

_SECOND_NS: Final = 10**9

type Profiles = Callable[[], Mapping[str, Profile]]
"""The profiles in force, by name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """A call, what it would send, what the rules say of it, and the digest a decision is bound to."""

    call: GatedCall
    preview: Preview
    decision: ApprovalDecision
    binding: Binding
    digest: str


class ApprovalGate:
    """The CallGate of executions whose profiles have approval rules; others pass."""

    def __init__(self, approvals: Approvals, tools: Tools, fetcher: Fetcher, profiles: Profiles) -> None:
        self._approvals = approvals
        self._tools = tools
        self._fetcher = fetcher
        self._profiles = profiles

    async def check(self, call: GatedCall) -> Verdict:
        """Whether it passes, is refused, or waits. Raises HostCallError, StoreError."""
        if call.execution.program.dry_run:
            return self._planned(call)
        if not call.execution.program.profile.approvals.rules:
            return Passed()
        preview = self.preview(call)
        if preview is None:
            return Passed()
        current = self._current(call.execution)
        decision = self._decided(call, preview, current)
        if decision.action == "allow":
            return Passed()
        if decision.action == "deny":
            return _denied(decision)
        asked = _bound(call, preview, decision, current)
        row = await self._approvals.of_call(call.execution.id, call.record.number)
        return await self._ask(asked) if row is None else await self._answered(asked, row)

    @staticmethod
    def _decided(call: GatedCall, preview: Preview, current: Profile | None) -> ApprovalDecision:
        """By the profile it began under; what that asks about, by the one in force too."""
        own, facts = call.execution.program.profile, facts_of(call, preview)
        decision = decide_approval(own.approvals, facts)
        if decision.action == "ask" and current is not None and current.digest() != own.digest():
            decision = stricter(decision, decide_approval(current.approvals, facts))
        if current is None and decision.action == "ask":
            decision = replace(decision, action="deny", reason=f"there is no profile {own.name} any more")
        return decision

    def _planned(self, call: GatedCall) -> Verdict:
        """In a dry run what reads is done, what is denied is denied, and all else is planned. Nobody is asked."""
        preview = self.preview(call)
        if preview is None:
            return Passed()
        decision = decide_approval(call.execution.program.profile.approvals, facts_of(call, preview))
        if decision.action == "deny":
            return _denied(decision)
        if preview.effect.read_only and decision.action == "allow":
            return Passed()
        return planned(call, preview, decision)

    def preview(self, call: GatedCall) -> Preview | None:
        """What the call would send. Raises HostCallError."""
        if call.kind == FETCH:
            return self._fetcher.preview(call.arguments, call.context)
        return self._tools.preview(call.name, call.arguments, call.context)

    def _current(self, execution: Execution) -> Profile | None:
        return self._profiles().get(execution.program.profile.name)

    async def _ask(self, asked: Asked, why_again: str = "") -> Verdict:
        execution, now = asked.call.execution, time.time_ns()
        request = request_of(asked.call, asked.preview, asked.decision, asked.binding, why_again)
        row = ApprovalRow(
            id=new_approval_id(),
            execution_id=execution.id,
            call_number=asked.call.record.number,
            tenant=execution.program.caller.tenant,
            digest=asked.digest,
            request=request.model_dump_json(),
            created_ns=now,
            expires_ns=min(now + asked.decision.expires_s * _SECOND_NS, _end_ns(execution)),
            needed=asked.decision.approvers,
        )
        if execution.journal is not None:
            await execution.journal.write()  # a question is about an execution that the store has
        await self._approvals.open(row)
        return await self._suspended(asked, row)

    async def _suspended(self, asked: Asked, row: ApprovalRow) -> Verdict:
        """Who was very quick has decided already, and told nobody who waits."""
        newest = await self._approvals.of_call(asked.call.execution.id, asked.call.record.number)
        if newest is not None and newest.id == row.id and newest.state in {"approved", "denied"}:
            return await self._answered(asked, newest)
        return Suspended(approval_id=row.id)

    async def _answered(self, asked: Asked, row: ApprovalRow) -> Verdict:
        """What the newest question about this call came to."""
        if row.state == "denied":
            return await self._refused(asked, row)
        if row.state == "expired":
            return _refused(row, "expired", f"nobody decided over this call within {asked.decision.expires_s} s")
        if row.state in {"open", "approved"} and row.digest != asked.digest:
            return await self._void(asked, row)
        if row.state not in {"open", "approved"}:
            return await self._ask(asked)
        if time.time_ns() >= row.expires_ns:
            return await self._expired(asked, row)
        if row.state == "open":
            return await self._suspended(asked, row)
        return self._approved(asked, row)

    async def _void(self, asked: Asked, row: ApprovalRow) -> Verdict:
        """What was shown is no longer what would be done."""
        changed = "the tool, its target, its arguments or the policy changed after this was shown"
        if await self._approvals.end(row, "void", changed):
            return await self._ask(asked, why_again=f"{row.id} is void: {changed}")
        return await self._again(asked)

    async def _expired(self, asked: Asked, row: ApprovalRow) -> Verdict:
        if not await self._approvals.end(row, "expired", "its time was over before it was decided and used"):
            return await self._again(asked)
        if row.state == "approved":
            return await self._ask(asked, why_again=f"{row.id} was approved and not used in time")
        return _refused(row, "expired", f"nobody decided over this call within {asked.decision.expires_s} s")

    async def _again(self, asked: Asked) -> Verdict:
        """Somebody changed the row meanwhile; it is read once more, and what it says then holds."""
        row = await self._approvals.of_call(asked.call.execution.id, asked.call.record.number)
        if row is None or row.state in {"open", "approved"}:
            return Refused(reason="the approval of this call is being changed", details={"rule": asked.decision.rule})
        return await self._answered(asked, row)

    async def _refused(self, asked: Asked, row: ApprovalRow) -> Verdict:
        approval = await self._approvals.find(asked.call.execution.program.caller.principal, row.id)
        who = next((each.approver for each in approval.decisions if each.verdict == "deny"), "")
        return _refused(row, "denied", row.reason or "an approver denied this call", approver=who)

    def _approved(self, asked: Asked, row: ApprovalRow) -> Verdict:
        used = (UseApproval(row.id),)
        if not row.edit:
            asked.call.record.approval = row.id
            return Passed(changes=used)
        try:
            arguments, words = narrowed(asked.preview.arguments, edits_of(row.edit))
        except NotNarrowerError as error:
            return _refused(row, "void", f"the approver's edit does not fit this call: {error}")
        edited = replace(asked.call, arguments=arguments)
        preview = self.preview(edited)
        if preview is not None:
            decision = decide_approval(asked.call.execution.program.profile.approvals, facts_of(edited, preview))
            if decision.action == "deny":
                return _denied(decision)
        asked.call.record.approval, asked.call.record.edits = row.id, list(words)
        return Passed(arguments=arguments, changes=used)


def _bound(call: GatedCall, preview: Preview, decision: ApprovalDecision, current: Profile | None) -> Asked:
    """With the digest of all that a decision is about."""
    program = call.execution.program
    binding = Binding(
        execution=call.execution.id,
        call=call.record.number,
        actor=program.caller.actor,
        tool=preview.tool or "fetch",
        schema=preview.schema,
        target=preview.target,
        arguments=preview.arguments,
        policy=f"{program.profile.digest()} {current.digest() if current is not None else ''}",
    )
    return Asked(call=call, preview=preview, decision=decision, binding=binding, digest=binding_digest(binding))


def facts_of(call: GatedCall, preview: Preview) -> CallFacts:
    """What the rules look at."""
    execution = call.execution
    before = (each for each in execution.calls if each.number < call.record.number)
    return CallFacts(
        kind="fetch" if call.kind == FETCH else "tool",
        tool=preview.tool,
        method=preview.request.method if preview.request.protocol == "http" else "",
        effect=preview.effect,
        environment=execution.program.caller.environment,
        arguments=preview.arguments,
        earlier_writes=sum(each.may_have_changed for each in before),
        undoable=preview.inverse is not None,
    )


def stricter(one: ApprovalDecision, other: ApprovalDecision) -> ApprovalDecision:
    """Of the decision under the profile an execution began with, and under the one in force now, the narrower."""
    order = ("allow", "ask", "deny")
    if one.action != other.action:
        return max(one, other, key=lambda each: order.index(each.action))
    return replace(
        one,
        approvers=max(one.approvers, other.approvers),
        expires_s=min(one.expires_s, other.expires_s),
        self_approval=one.self_approval and other.self_approval,
    )


def _end_ns(execution: Execution) -> int:
    """When there is nothing left to go on with: the request's own end, or that of a clock that does not stop."""
    program = execution.program
    end = int(program.caller.expires_at * _SECOND_NS)
    if program.profile.approvals.wall_clock == "runs":
        end = min(end, execution.created_ns + program.limits.wall_ms * _SECOND_NS // 1_000)
    return end


def _denied(decision: ApprovalDecision) -> Refused:
    return Refused(reason=decision.reason, details={"rule": decision.rule or "approvals"})


def _refused(row: ApprovalRow, state: str, reason: str, **more: Any) -> Refused:
    details = {"rule": "approvals", "approval": row.id, "state": state, "reason": reason, **more}
    return Refused(reason=reason, details=details)
