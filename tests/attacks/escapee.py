"""Starts tests/attacks/inside.py, which forks workers that run probes instead of guests."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.attacks.kernel_calls import kernel_calls

_SCRIPT = Path(__file__).with_name("inside.py")


@dataclass(frozen=True)
class Escapee:
    """A worker whose isolate has been left."""

    zygote: "Zygote"
    pid: int
    walls: dict[str, str]

    def probe(self, probe: str, *arguments: Any) -> Any:
        """What came of it: the value, "errno NAME", or "killed SIGNAL"."""
        answer = self.zygote.ask(do="probe", pid=self.pid, probe=probe, arguments=list(arguments))
        if "value" in answer:
            return answer["value"]
        ((key, value),) = answer.items()
        return f"{key} {value}" if key != "errno" else str(value)

    def call(self, name: str, *arguments: int | str) -> Any:
        """One raw system call, by name."""
        return self.probe("raw", kernel_calls()[name], *arguments)


class Zygote:
    """The stand-in for the zygote."""

    def __init__(self, process: "subprocess.Popen[str]", walls: dict[str, str]) -> None:
        self.process = process
        self.walls = walls

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return _line(self.process)

    def fork(self) -> Escapee:
        answer = self.ask(do="fork")
        return Escapee(self, answer["pid"], answer["walls"])


def _line(process: "subprocess.Popen[str]") -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the stand-in for the zygote ended with {process.wait()}"
    return json.loads(line)


@contextlib.contextmanager
def zygote(
    *,
    user: int = 0,
    refused: dict[str, int] | None = None,
    refused_unshare: int = 0,
    image: Path | None = None,
    env: dict[str, str] | None = None,
    stderr: IO[bytes] | None = None,
    pass_fds: Sequence[int] = (),
) -> Iterator[Zygote]:
    """`user` 0 means the one who runs the tests; `refused` are calls this machine shall lack, by name to errno.

    `refused_unshare` are flags: unshare with exactly these is refused, as to a root without CAP_SYS_ADMIN.
    """
    process = subprocess.Popen(
        [sys.executable, "-I", str(_SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env=env or {},
        pass_fds=pass_fds,
        text=True,
    )
    numbers = {kernel_calls()[name]: code for name, code in (refused or {}).items()}
    try:
        assert process.stdin is not None
        unshare = [kernel_calls()["unshare"], refused_unshare] if refused_unshare else []
        settings = {"user": user, "refused": numbers, "unshare": unshare, "image": image and str(image)}
        process.stdin.write(json.dumps(settings) + "\n")
        process.stdin.flush()
        yield Zygote(process, _line(process)["zygote"])
    finally:
        process.kill()
        process.wait(10)
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
