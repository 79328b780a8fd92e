"""What the programs of a session share, and what of one the next must not meet."""

from types import ModuleType
from typing import Any

from lockgate import memory, randomness
from lockgate.loop import loop
from lockgate.program import session_file

_module = ModuleType("__main__")


def begin(number: int, names: dict[str, Any]) -> tuple[str, ModuleType]:
    """What the session's program of a number calls its file, and its module, which the first finds with `names`."""
    if "inputs" not in _module.__dict__:
        _module.__dict__.update(names)
    if number > 1:
        _drop_leftovers()
    return session_file(number), _module


def _drop_leftovers() -> None:
    """What the last program left to do is never done."""
    loop.drop_tasks()
    randomness.reseed()
    memory.keep()
