"""Killing a cell's processes under its executions, and how long it takes until all have ended."""

import os
import signal
import time
from collections.abc import Callable
from typing import Final

import grpc

from bench.caller import Caller
from bench.durable_cell import held
from bench.processes import cell_processes
from bench.receiver import HELD, Receiver
from bench.result import Round
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell

MOST_KILLED: Final = 100
_AGAIN_S: Final = 0.01
_LATEST_S: Final = 60.0


def recovering(cell: Cell, receiver: Receiver, count: int, prefix: str = "") -> Round:
    """Seconds from a kill to the last end, of `count` executions that all have a call under way."""
    return Round(
        figures={
            f"{prefix}recover_workers_s": _outage(cell, receiver, count, kill_workers),
            f"{prefix}recover_gateway_s": _outage(cell, receiver, count, kill_gateway),
        }
    )


def kill_workers(cell: Cell) -> None:
    for kind, process in cell_processes(cell):
        if kind == "worker":
            process.kill()


def kill_gateway(cell: Cell) -> None:
    """Its workers end with it; the cell starts another."""
    pid = cell.pids["gateway"]
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def _outage(cell: Cell, receiver: Receiver, count: int, kill: Callable[[Cell], None]) -> float:
    names = [f"{HELD}-{kill.__name__}-{time.perf_counter_ns()}-{number}" for number in range(count)]
    requests = [held(name, number) for number, name in enumerate(names)]
    receiver.hold()
    with Caller(cell.grpc_address, cell.token) as caller:
        replies = [caller.future(request) for request in requests]
        receiver.wait_for(set(names))
        begun = time.perf_counter()
        kill(cell)
        receiver.release()
        for reply, request in zip(replies, requests, strict=True):
            if reply.exception() is None:
                _check(reply.result().execution)
            else:
                _attach(cell, request)
        return time.perf_counter() - begun


def _attach(cell: Cell, request: pb.ExecuteRequest) -> None:
    """Ask until a gateway answers, over a new connection each time: an old one waits before it tries again."""
    deadline = time.perf_counter() + _LATEST_S
    while True:
        try:
            with Caller(cell.grpc_address, cell.token) as caller:
                return _check(caller.call(request))
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.perf_counter() > deadline:
                raise
        time.sleep(_AGAIN_S)


def _check(execution: pb.Execution) -> None:
    if execution.status != pb.STATUS_SUCCEEDED:
        raise RuntimeError(f"{pb.Status.Name(execution.status)}: {execution.error.message}")
