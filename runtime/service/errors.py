"""The one error of the API's edge, and how it becomes a google.rpc.Status with details."""

from collections.abc import Mapping, Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from runtime.store.errors import StoreError, StoreQuotaError

DOMAIN = "lockgate"
_QUEUE_RETRY_S = 0.25
_STORE_RETRY_S = 1.0


class ApiError(Exception):
    """A refused call. `reason` is a stable word for programs; `fields` maps request fields to what is wrong."""

    def __init__(  # noqa: PLR0913 - the parts of a status
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        *,
        fields: Sequence[tuple[str, str]] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.fields = tuple(fields)
        self.metadata = dict(metadata or {})
        self.retry_after_s = retry_after_s

    def to_status(self) -> Any:
        """For ServicerContext.abort_with_status."""
        details: list[Any] = [error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=self.metadata)]
        if self.fields:
            violations = [
                error_details_pb2.BadRequest.FieldViolation(field=field, description=text)
                for field, text in self.fields
            ]
            details.append(error_details_pb2.BadRequest(field_violations=violations))
        if self.retry_after_s is not None:
            delay = duration_pb2.Duration()
            delay.FromMilliseconds(int(self.retry_after_s * 1000))
            details.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=_number(self.code), message=self.message)
        for detail in details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return rpc_status.to_status(status)


def _number(code: grpc.StatusCode) -> code_pb2.Code:
    return code_pb2.Code.Value(code.name)


def bad_fields(fields: Sequence[tuple[str, str]]) -> ApiError:
    """INVALID_ARGUMENT that names every field at fault."""
    message = "; ".join(f"{field}: {text}" for field, text in fields)
    return ApiError(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST", message, fields=fields)


def store_failed(error: StoreError) -> ApiError:
    """The store does not take, or does not give, what an execution needs; nothing was started."""
    if isinstance(error, StoreQuotaError):
        metadata = {"limit": error.quota, "value": str(error.value)}
        return ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, "STORE_FULL", str(error), metadata=metadata)
    return ApiError(grpc.StatusCode.UNAVAILABLE, "STORE_UNAVAILABLE", str(error), retry_after_s=_STORE_RETRY_S)


def queue_full(error: Exception) -> ApiError:
    """No more executions are taken for now."""
    message = f"{error}; nothing was started, try again later"
    return ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", message, retry_after_s=_QUEUE_RETRY_S)
