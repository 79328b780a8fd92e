"""Approvals in a gateway: the gate before host calls, the Control service, the webhook and the callback."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Final

from runtime.execution.executor import Executor
from runtime.execution.host_calls import Tools
from runtime.execution.outbound import OutboundRequest
from runtime.execution.tokens import TokenMint
from runtime.governance.approval_gate import ApprovalGate, Profiles
from runtime.governance.approvals import Approvals, Decided
from runtime.governance.callback import Callbacks
from runtime.governance.rollback import InverseOf
from runtime.governance.webhook import Post, WebhookSender
from runtime.service.egress_link import EgressLink
from runtime.service.governed_reply import GovernedReply
from runtime.service.rollbacks import Rollbacks
from runtime.store.store import Store
from sandboxes.approval_channels import ApprovalChannels, Webhook
from sandboxes.state import StateDirectory

if TYPE_CHECKING:
    from starlette.types import ASGIApp

POST_TIMEOUT_S: Final = 10.0
_MOST_ANSWER: Final = 64 << 10
_PURPOSE: Final = "approvals-webhook"


class Governed:
    """What a gateway has of approvals. `async with governed.running():` once the store is open."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        *,
        store: Store,
        state: StateDirectory,
        channels: ApprovalChannels,
        tools: Tools,
        egress: EgressLink,
        mint: TokenMint,
        profiles: Profiles,
    ) -> None:
        webhook = channels.webhook
        self._tell_of: Decided | None = None
        self._profiles = profiles
        self._store = store
        self._rollbacks: Rollbacks | None = None
        self.approvals = Approvals(store, self._decided, notify=webhook is not None)
        self.gate = ApprovalGate(self.approvals, tools, egress, profiles)
        self._callbacks = Callbacks(state.signing_key("callback")) if channels.callback else None
        self._sender: WebhookSender | None = None
        if webhook is not None:
            post = post_to(webhook, egress, mint)
            self._sender = WebhookSender(store, post, state.signing_key("webhook"))
            self.approvals.on_delivery = self._sender.wake

    def attach(self, executor: Executor, inverse_of: InverseOf) -> GovernedReply:
        """Tell the executor of decisions, hear from it of ends, and let it ask which version of a profile is in force.

        What replies tell of its executions.
        """
        self._tell_of = executor.decided
        executor.in_force = lambda profile: self._profiles().get(profile.name, profile)
        self._rollbacks = Rollbacks(executor, self._store, inverse_of)
        return GovernedReply(self.approvals, self._rollbacks)

    def _decided(self, execution_id: str, number: int) -> None:
        if self._tell_of is not None:
            self._tell_of(execution_id, number)

    def beside(self, app: "ASGIApp") -> "ASGIApp":
        """The HTTP application with the callback beside it, if the operator wants one."""
        if self._callbacks is None:
            return app
        from runtime.service.callback_route import BesideCallback  # noqa: PLC0415 - no start needs it

        return BesideCallback(app, self.approvals, self._callbacks)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Expiries and deliveries happen inside, and what was decided when no gateway lived goes on."""
        tasks = [asyncio.create_task(self.approvals.run(), name="approvals")]
        if self._rollbacks is not None:
            tasks.append(asyncio.create_task(self._rollbacks.recover(), name="rollbacks"))
        if self._sender is not None:
            tasks.append(asyncio.create_task(self._sender.run(), name="webhook"))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def post_to(webhook: Webhook, egress: EgressLink, mint: TokenMint) -> Post:
    """Sends to the webhook, through the egress proxy under the webhook's own rule."""
    rules = webhook.rule_set().digest()

    async def post(headers: Mapping[str, str], body: bytes) -> int:
        outbound = await egress.ready()
        request = OutboundRequest(
            url=webhook.url,
            method="POST",
            headers=tuple(headers.items()),
            body=body,
            timeout_s=POST_TIMEOUT_S,
            max_response_bytes=_MOST_ANSWER,
        )
        answer = await outbound.send(request, mint.for_service(_PURPOSE, rules))
        return answer.status

    return post
