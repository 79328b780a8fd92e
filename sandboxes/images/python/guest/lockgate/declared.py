"""What an image's declaration asks for before the snapshot: modules to import, programs to practise.

A declaration that asks for what does not work fails the build, and the reason is its last word on standard error.
"""

import json
import sys
from collections.abc import Iterable
from typing import NoReturn

import wit_world

from lockgate import execution, preload

# Enough for the interpreter to specialise its code.
_ROUNDS = 16


def prepare(modules: Iterable[str], programs: Iterable[str]) -> None:
    """Import the modules, run the programs. There is no host yet: log lines go nowhere, calls are refused."""
    host = wit_world.log, wit_world.submit, wit_world.wait
    wit_world.log, wit_world.submit, wit_world.wait = _drop, _refuse, _refuse
    try:
        for name in modules:
            preload.load([name])
        for number, program in enumerate(programs):
            _practise(number, program)
    except BaseException as error:  # noqa: BLE001 (whatever it was, it is told)
        # The program's own streams lead to the host, which is not there.
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        raise RuntimeError(f"lockgate: {type(error).__name__}: {error}") from None
    wit_world.log, wit_world.submit, wit_world.wait = host


def _practise(number: int, program: str) -> None:
    request = json.dumps({"code": program, "inputs": "null", "max_result_bytes": 1 << 20})
    for _ in range(_ROUNDS):
        outcome = execution.run(request)
        if outcome[0] == "0":
            error = json.loads(outcome[1:])
            raise RuntimeError(f"practice[{number}]: {error['name']}: {error['message']} (line {error['line']})")


def _drop(*_: object) -> None:
    """Forget a log line."""


def _refuse(*_: object) -> NoReturn:
    """Refuse a call."""
    raise RuntimeError("a practice program cannot call or wait for the host")
