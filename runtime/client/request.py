"""What a client says of a program: who asks, why, in which language, under which terms."""

import getpass
import json
import time
from dataclasses import dataclass
from typing import Any, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from runtime.rpc import runtime_pb2

Language = Literal["javascript", "typescript", "python", ""]

LANGUAGES: dict[Language, runtime_pb2.Language.ValueType] = {
    "": runtime_pb2.LANGUAGE_UNSPECIFIED,
    "javascript": runtime_pb2.LANGUAGE_JAVASCRIPT,
    "python": runtime_pb2.LANGUAGE_PYTHON,
    "typescript": runtime_pb2.LANGUAGE_TYPESCRIPT,
}
ENVIRONMENTS = {
    "dev": runtime_pb2.ENVIRONMENT_DEV,
    "stage": runtime_pb2.ENVIRONMENT_STAGE,
    "prod": runtime_pb2.ENVIRONMENT_PROD,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Who asks, and why. `environment` is dev, stage or prod; `expires_in_s` counts from the request."""

    actor: str
    owner: str
    environment: str
    reason: str
    expires_in_s: float = 3_600

    def message(self) -> runtime_pb2.Context:
        """As the API wants it."""
        expires = Timestamp()
        expires.FromNanoseconds(int((time.time() + self.expires_in_s) * 1e9))
        return runtime_pb2.Context(
            actor=self.actor,
            owner=self.owner,
            environment=ENVIRONMENTS[self.environment],
            reason=self.reason,
            expires_at=expires,
        )


def local_context(reason: str, environment: str = "dev") -> Context:
    """The context of somebody at a terminal."""
    user = getpass.getuser()
    return Context(actor=f"cli:{user}", owner=user, environment=environment, reason=reason)


def execute_request(  # noqa: PLR0913 - the fields of the request
    code: str,
    *,
    profile: str,
    context: Context,
    language: Language = "",
    inputs: Any = None,
    limits: dict[str, int] | None = None,
    idempotency_key: str = "",
    session_id: str = "",
    inline_bytes: int = 0,
    read_only: bool = False,
    dry_run: bool = False,
    rollback: bool = False,
    catalog_profile: str = "",
) -> runtime_pb2.ExecuteRequest:
    """The request for one program; `inputs` is any JSON value. `rollback`: what it did is undone if it fails."""
    return runtime_pb2.ExecuteRequest(
        code=code,
        language=LANGUAGES[language],
        profile=profile,
        inputs_json="" if inputs is None else json.dumps(inputs),
        context=context.message(),
        limits=limits or {},
        idempotency_key=idempotency_key,
        session_id=session_id,
        inline_bytes=inline_bytes,
        read_only=read_only,
        dry_run=dry_run,
        on_failure=runtime_pb2.ON_FAILURE_ROLLBACK if rollback else runtime_pb2.ON_FAILURE_UNSPECIFIED,
        catalog_profile=catalog_profile,
    )
