"""What componentize-py snapshots: everything is imported and in place, `run` only runs."""

# ruff: noqa: INP001 (componentize-py wants a module by its plain name)

from pathlib import Path

from lockgate import library

library.install(Path(__file__).parent)

import gc  # noqa: E402 (the library has to be in place first)
import sys  # noqa: E402

import wit_world  # noqa: E402
from lockgate import preload  # noqa: E402

preload.load_codecs()
preload.load(preload.NAMES.split())

if library.distribution_folders():
    from lockgate import distributions  # noqa: F401 (it has to be in the snapshot)

import requests  # noqa: E402, F401 (it has to be in the snapshot)
from lockgate import (  # noqa: E402
    absent,
    clock,
    declared,
    execution,
    holes,
    locks,
    loop,
    memory,
    output,
    randomness,
    refusals,
    urllib_bridge,
)
from lockgate.calls import codemode  # noqa: E402
from lockgate.keep import emit, results, store  # noqa: E402
from lockgate.web import fetch  # noqa: E402

# The globals of every program may be imported too, for models that expect modules.
execution.offer(fetch=fetch, emit=emit, results=results, store=store)
sys.modules["codemode"] = codemode
for part in (output, loop, clock, locks, urllib_bridge, absent, refusals, randomness):
    part.install()


BROKEN = (
    '0{"name":"BrokenInterpreter","message":"the program broke its own interpreter","stack":"","line":null,'
    '"column":null,"source_line":null,"limit":null,"call":null}'
)
OUT_OF_MEMORY = "0" + memory.OUT_OF_MEMORY
# Bound here: a program may have emptied `builtins`.
Short = MemoryError


class WitWorld(wit_world.WitWorld):
    """The exports of `guest.wit`."""

    def run(self, request: str) -> str:
        """Run one program; see `lockgate.execution`."""
        try:
            return execution.run(request)
        except Short:
            return OUT_OF_MEMORY
        except:  # noqa: E722 (a program may have broken every name in here, even BaseException)
            return BROKEN


declared.prepare(library.declared["preload"], library.declared["practice"])
execution.practise()
memory.keep()
gc.collect()
gc.freeze()
gc.set_threshold(20_000, 10, 0)
holes.fill()
