"""A synchronous client of a cell for benchmarks: an asynchronous one would take more of the cores it shares."""

import threading
import time
from types import TracebackType
from typing import Self

import grpc

from runtime.rpc import control_pb2, control_pb2_grpc, portal_pb2, portal_pb2_grpc, runtime_pb2_grpc
from runtime.rpc import runtime_pb2 as pb

IN_FLIGHT = 16
_LOOK_AGAIN_S = 0.001
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


class Caller:
    """`with Caller(address, token) as caller:` — one connection of its own."""

    def __init__(self, address: str, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._channel = grpc.insecure_channel(address, OWN_CONNECTION)
        self._runtime = runtime_pb2_grpc.RuntimeStub(self._channel)
        self._control = control_pb2_grpc.ControlStub(self._channel)
        self._execute = self._runtime.Execute

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._channel.close()

    def call(self, request: pb.ExecuteRequest) -> pb.Execution:
        """Raises grpc.RpcError."""
        return self._execute(request, metadata=self._metadata).execution

    def future(self, request: pb.ExecuteRequest) -> "grpc.Future[pb.ExecuteResponse]":
        return self._execute.future(request, metadata=self._metadata)

    def timed(self, request: pb.ExecuteRequest) -> tuple[float, pb.Execution]:
        """Milliseconds of the whole call, and what came of it: which has to be a success."""
        begun = time.perf_counter()
        execution = self.call(request)
        took = (time.perf_counter() - begun) * 1e3
        if execution.status != pb.STATUS_SUCCEEDED:
            raise RuntimeError(f"{pb.Status.Name(execution.status)}: {execution.error.message}")
        return took, execution

    def settle(self) -> None:
        """Return when no upstream is still starting."""
        portal = portal_pb2_grpc.PortalStub(self._channel)
        request = portal_pb2.SearchRequest(limit=1)
        while any(one.state == "starting" for one in portal.Search(request, metadata=self._metadata).upstreams):
            time.sleep(_LOOK_AGAIN_S)

    def asked(self, execution: pb.Execution) -> control_pb2.Approval:
        """The one approval that a paused execution waits for."""
        if execution.status != pb.STATUS_PAUSED:
            raise RuntimeError(f"{pb.Status.Name(execution.status)}, not paused: {execution.error.message}")
        (waiting,) = execution.pending_approvals
        request = control_pb2.GetApprovalRequest(approval_id=waiting.approval_id)
        return self._control.GetApproval(request, metadata=self._metadata).approval

    def approve(self, approval: control_pb2.Approval) -> None:
        item = control_pb2.DecidedItem(approval_id=approval.id, digest=approval.digest)
        request = control_pb2.DecideRequest(items=[item], approve=True, approver="somebody else")
        self._control.Decide(request, metadata=self._metadata)

    def ended(self, execution_id: str) -> pb.Execution:
        """An execution once it has ended, asked for again and again; that has to be a success."""
        request = pb.GetExecutionRequest(execution_id=execution_id)
        while not (found := self._runtime.GetExecution(request, metadata=self._metadata).execution).HasField(
            "ended_at"
        ):
            time.sleep(_LOOK_AGAIN_S)
        if found.status != pb.STATUS_SUCCEEDED:
            raise RuntimeError(f"{pb.Status.Name(found.status)}: {found.error.message}")
        return found

    def per_second(self, request: pb.ExecuteRequest, count: int) -> float:
        """Executions per second with IN_FLIGHT under way. All have to succeed."""
        places = threading.Semaphore(IN_FLIGHT)
        failed: list[str] = []

        def done(reply: "grpc.Future[pb.ExecuteResponse]") -> None:
            places.release()
            if (error := reply.exception()) is not None:
                failed.append(str(error))
            elif (status := reply.result().execution.status) != pb.STATUS_SUCCEEDED:
                failed.append(pb.Status.Name(status))

        begun = time.perf_counter()
        for _ in range(count):
            places.acquire()
            self.future(request).add_done_callback(done)
        for _ in range(IN_FLIGHT):
            places.acquire()
        seconds = time.perf_counter() - begun
        if failed:
            raise RuntimeError(f"{len(failed)} of {count} executions failed, the first with {failed[0]}")
        return count / seconds
