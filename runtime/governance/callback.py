"""A signed decision from outside: read, checked, and taken once. Security boundary."""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from runtime.governance.verdict import MOST_APPROVER, MOST_REASON, Said
from sandboxes.narrowing import MOST_EDITS
from sandboxes.webhook_signature import TOLERANCE_S, NotGenuine, verify

MOST_BODY: Final = 64 << 10
MOST_REMEMBERED: Final = 100_000


class CallbackRefusedError(Exception):
    """A callback that is not taken; `status` is HTTP's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Edit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(max_length=2_000)
    value: Any


class _Decision(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    approval_id: str = Field(min_length=1, max_length=100)
    digest: str = Field(min_length=1, max_length=100)
    decision: Literal["approve", "deny"]
    approver: Annotated[str, Field(min_length=1, max_length=MOST_APPROVER)]
    reason: str = Field("", max_length=MOST_REASON)
    edits: tuple[_Edit, ...] = Field((), max_length=MOST_EDITS)


class Callbacks:
    """Remembers the ids it has taken for as long as their time stamps are good.

    After a restart it has forgotten them; then a message that comes again finds its approval decided, because the
    store has not.
    """

    def __init__(self, key: bytes, now_s: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now_s = now_s
        self._taken: OrderedDict[str, float] = OrderedDict()

    def read(self, headers: Mapping[str, str], body: bytes) -> tuple[str, str, Said]:
        """The message's id, the approval's, and what is said of it. Raises CallbackRefusedError."""
        genuine = verify(self._key, headers, body, self._now_s())
        if isinstance(genuine, NotGenuine):
            raise CallbackRefusedError(401, genuine.reason)
        decision = _decision(body)
        self._take(genuine.id)
        word = Said(
            approver=decision.approver,
            word=decision.decision,
            digest=decision.digest,
            reason=decision.reason,
            wanted=tuple((edit.path, edit.value) for edit in decision.edits),
        )
        return genuine.id, decision.approval_id, word

    def forget(self, message_id: str) -> None:
        """The message came to nothing through no fault of its own, and may be sent again."""
        self._taken.pop(message_id, None)

    def _take(self, message_id: str) -> None:
        now = self._now_s()
        while self._taken and next(iter(self._taken.values())) < now - 2 * TOLERANCE_S:
            self._taken.popitem(last=False)
        if message_id in self._taken:
            raise CallbackRefusedError(409, "this message was taken before; every message needs an id of its own")
        if len(self._taken) >= MOST_REMEMBERED:
            raise CallbackRefusedError(429, "too many callbacks within a short time; send it again later")
        self._taken[message_id] = now


def _said(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return "it is not JSON"
    faults = error.errors(include_input=False, include_url=False)
    return "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in faults)


def _decision(body: bytes) -> _Decision:
    try:
        decision = _Decision.model_validate(json.loads(body))
    except (ValidationError, ValueError, RecursionError) as error:
        raise CallbackRefusedError(400, f"the body is not a decision: {_said(error)}") from None
    if not decision.approver.isprintable():
        raise CallbackRefusedError(400, "approver: has characters that are not printable")
    if decision.decision == "deny" and (not decision.reason or decision.edits):
        raise CallbackRefusedError(400, "a denial needs a reason, and has no edits")
    return decision
