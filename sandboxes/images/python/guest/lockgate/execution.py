"""One run of one program, from the request's JSON to the outcome's."""

import builtins
import inspect
import json
import linecache
import sys
from functools import partial
from types import ModuleType
from typing import Any

from lockgate import output, session
from lockgate.calls import ToolError, codemode, unawaited
from lockgate.encode import size, to_json
from lockgate.failure import ResultTooLargeError, error_json, forget
from lockgate.host import calls
from lockgate.limits import limits
from lockgate.loop import finish, loop
from lockgate.memory import OUT_OF_MEMORY, fit, release_for_leaving, release_for_telling
from lockgate.program import FILE, FUNCTION, IMPORT_STAR, RESULT, compile_program

# What nearly every program does. Run often before the snapshot, so that the interpreter has specialised its code
# and grown its free lists by then: each page it writes later has to be copied in every isolate.
_PRACTICE = (
    "1 + 1",
    "return inputs",
    "async def main(a, *b, **c):\n    return [x for x in (1, 2.0, 'x', None)]\nawait main(1)",
    """import asyncio, json
async def one(i): await asyncio.sleep(0); return {'i': i}
await asyncio.gather(one(1), one(2))""",
    """class A:
    def f(self): return f'{self!r:>5} {1 / 3:.2f}'
try:
    A().f(); {}['x']
except KeyError as error:
    str(error)""",
    "x = 1\nif x > 0:\n    raise ValueError('no')",
)
_PRACTICE_ROUNDS = 40
# Once an isolate, ahead of need.
_REHEARSAL = "1 + 1"
_rehearsed = False
_NAMES: dict[str, Any] = {"codemode": codemode, "ToolError": ToolError}


def offer(**names: Any) -> None:
    """Add globals to those every program starts with."""
    _NAMES.update(names)


# Ready before it is needed, when there is no memory to put it together.
_OUT_OF_MEMORY = "0" + OUT_OF_MEMORY


def run(request: str) -> str:
    """Run one program: "1" and its result's JSON, or "0" and an error's JSON; never raises."""
    try:
        return _outcome(request)
    except MemoryError:  # while an error was told
        release_for_telling()
        release_for_leaving()
        return _OUT_OF_MEMORY


def _outcome(request: str) -> str:
    source, file = "", FILE
    try:
        fields = json.loads(request)
        source = fields["code"]
        if not _rehearsed:
            _rehearse()
        if source == "None":
            return "1null"
        module = None
        if "number" in fields:
            file, module = session.begin(fields["number"], _NAMES)
        _begin(fields, source, file)
        outcome = "1" + _result(_value(source, file, fields.get("inputs"), module))
    except SystemExit as error:
        outcome = _exited(error, source, file)
    except MemoryError as error:
        release_for_telling()
        forget(error)
        outcome = "0" + error_json(error, source, file)
    except BaseException as error:  # noqa: BLE001 (nothing may leave but an outcome)
        outcome = "0" + error_json(error, source, file)
    outcome = _end(outcome, source, file)
    release_for_leaving()
    fit(outcome)
    return outcome


def practise() -> None:
    """Before the snapshot: run the practice programs; none of them calls the host."""
    global _rehearsed  # noqa: PLW0603 (once an isolate)
    for _ in range(_PRACTICE_ROUNDS):
        for source in _PRACTICE:
            run(json.dumps({"code": source, "inputs": '{"a": [1, 2]}'}))
    _rehearsed = False


def _rehearse() -> None:
    """Run the rehearsal once, warm call or not: a program finds an interpreter that has run something."""
    global _rehearsed  # noqa: PLW0603 (once an isolate)
    _rehearsed = True
    _begin({}, _REHEARSAL, FILE)
    module_before = sys.modules["__main__"]
    _result(_value(_REHEARSAL, FILE, "null", None))
    linecache.cache.pop(FILE, None)
    sys.modules["__main__"] = module_before


def _begin(fields: dict[str, Any], source: str, file: str) -> None:
    limits.reset(fields)
    calls.reset()
    loop.reset()
    unawaited.clear()
    output.begin()
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)


def _end(outcome: str, source: str, file: str) -> str:
    try:
        _tell_unawaited()
        output.end()
        linecache.cache.pop(file, None)
    except BaseException as error:  # noqa: BLE001 (nothing may leave but an outcome)
        return "0" + error_json(error, source, file)
    return outcome


def _value(source: str, file: str, inputs: str | None, module: ModuleType | None) -> Any:
    program = compile_program(source, file)
    if module is None:
        module = ModuleType("__main__")
        module.__dict__.update(_NAMES)
    sys.modules["__main__"] = module
    names = module.__dict__
    names["__builtins__"] = builtins
    names["inputs"] = json.loads(inputs) if inputs else None
    if program.returns:
        names[IMPORT_STAR] = partial(_import_star, names)
    value = eval(program.code, names)  # noqa: S307 (running the program is what this is for)
    if value is not None:
        loop.run_main(value)
    if program.returns:
        value = names.pop(FUNCTION)()
    elif program.main is not None:
        value = names["main"](*(names["inputs"],) * program.main)
    else:
        value = names.pop(RESULT, None)
    if value is not None and inspect.isawaitable(value):
        value = loop.run_main(value)
    finish()
    return value


def _result(value: Any) -> str:
    if value is None:
        return "null"
    text = to_json(value)
    length = size(text)
    if length > limits.max_result_bytes:
        raise ResultTooLargeError(
            f"the result has {length} bytes, the limit is {limits.max_result_bytes}: return less, or a summary"
        )
    return text


def _exited(error: SystemExit, source: str, file: str) -> str:
    if error.code is None or error.code == 0:
        return "1null"
    return "0" + error_json(error, source, file)


def _tell_unawaited() -> None:
    if unawaited:
        names = ", ".join(sorted({call._name for call in unawaited.values()}))  # noqa: SLF001
        output.emit(output.WARNING, f"{len(unawaited)} call(s) were made but never awaited, use await: {names}")
        unawaited.clear()


def _import_star(names: dict[str, Any], module: str) -> None:
    """`from module import *` into the program's globals."""
    exec(f"from {module} import *", names)  # noqa: S102
