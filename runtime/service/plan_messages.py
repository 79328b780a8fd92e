"""The plan of a dry run as messages of the API."""

from collections.abc import Iterable

from runtime.execution.execution import HostCallRecord
from runtime.governance.plan import entry_of
from runtime.rpc import runtime_pb2 as pb
from runtime.service.control_messages import literal_message


def plan_messages(calls: Iterable[HostCallRecord]) -> list[pb.PlannedCall]:
    """The calls that were not sent, in order."""
    return [
        pb.PlannedCall(
            number=call.number,
            target=call.target,
            words=entry.words,
            request=literal_message(entry.request),
            decision=entry.decision,
            risk=entry.risk,
        )
        for call in calls
        if (entry := entry_of(call.planned)) is not None
    ]
