"""A synchronous client of a cell for benchmarks: an asynchronous one would take more of the cores it shares."""

import threading
import time
from types import TracebackType
from typing import Self

import grpc

from runtime.rpc import runtime_pb2 as pb
from runtime.rpc import runtime_pb2_grpc

IN_FLIGHT = 16
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


class Caller:
    """`with Caller(address, token) as caller:` — one connection of its own."""

    def __init__(self, address: str, token: str) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._channel = grpc.insecure_channel(address, OWN_CONNECTION)
        self._execute = runtime_pb2_grpc.RuntimeStub(self._channel).Execute

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
