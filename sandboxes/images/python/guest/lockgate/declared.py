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
    for name in modules:
        _preload(name)
    for number, program in enumerate(programs):
        _practise(number, program)
    wit_world.log, wit_world.submit, wit_world.wait = host


def _preload(name: str) -> None:
    try:
        preload.load([name])
    except BaseException as error:  # noqa: BLE001 (whatever it was, it is told)
        _fail(f"preload: {name} does not import: {type(error).__name__}: {error}")


def _practise(number: int, program: str) -> None:
    request = json.dumps({"code": program, "inputs": "null", "max_result_bytes": 1 << 20})
    for _ in range(_ROUNDS):
        outcome = execution.run(request)
        if outcome[0] == "0":
            error = json.loads(outcome[1:])
            _fail(f"practice[{number}], line {error['line']}: {error['name']}: {error['message']}")


def _fail(reason: str) -> NoReturn:
    # The streams of programs lead to the host, which is not there.
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    raise RuntimeError(f"declaration: {reason}") from None


def _drop(*_: object) -> None:
    """Forget a log line."""


def _refuse(*_: object) -> NoReturn:
    """Refuse a call."""
    raise RuntimeError("a practice program cannot call or wait for the host")
