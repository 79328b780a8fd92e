"""How every upstream stands, as messages of the API."""

from runtime.portal.upstreams import Upstreams
from runtime.rpc import upstream_pb2 as pb


def upstream_messages(upstreams: Upstreams) -> list[pb.UpstreamState]:
    """One for each upstream, in the order of the configuration."""
    tools = upstreams.catalog.by_upstream
    messages = []
    for name, state in upstreams.standings().items():
        message = pb.UpstreamState(
            name=name,
            state=state.phase,
            reason=state.reason,
            tools=len(tools.get(name, ())),
            failures=state.failures,
        )
        message.since.FromNanoseconds(int(state.since * 1e9))
        messages.append(message)
    return messages
