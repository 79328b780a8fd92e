"""Becomes a child's program once it is enclosed: `-m runtime.enclosure.launcher CONTROL PARENT NETWORK COMMAND`.

CONTROL is a UNIX socket to the parent. Over it go, as JSON, the report of the walls and with it the listening socket
of the relay; then the end of the socket when the program runs, or why it does not. Where CONTROL is standard error
(2), the parent has put the child's real standard error into it.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from runtime.enclosure import namespace
from runtime.enclosure.walls import RELAY, UP, Network, Report

_NOT_FOUND, _NOT_STARTED = 127, 126
_BACKLOG: Final = 64


def main() -> None:
    """Never returns but by an exit status."""
    if sys.argv[1:] == ["probe"]:
        print(json.dumps(_enclose(Network.NONE)))  # noqa: T201 - what the parent reads
        return
    control, parent, network, *command = sys.argv[1:]
    with socket.socket(fileno=int(control)) as parent_socket:
        os.set_inheritable(parent_socket.fileno(), False)  # noqa: FBT003
        if parent_socket.fileno() == sys.stderr.fileno():
            parent_socket = _own_standard_error(parent_socket)  # noqa: PLW2901
        try:
            _start(parent_socket, int(parent), Network(network))
        except OSError as error:
            _tell(parent_socket, {"error": error.strerror or str(error)})
            sys.exit(_NOT_STARTED)
        try:
            os.execvp(command[0], command)  # noqa: S606 - an operator's own command, not a shell's
        except OSError as error:
            _tell(parent_socket, {"error": error.strerror or str(error), "file": command[0]})
    sys.exit(_NOT_FOUND)


def _start(parent_socket: socket.socket, parent: int, network: Network) -> None:
    report = _enclose(network)
    namespace.die_with(parent)  # after the namespaces, because a change of rights lets go of it
    listeners = [socket.create_server(RELAY, backlog=_BACKLOG)] if network is Network.PROXY else []
    socket.send_fds(parent_socket, [_line({"walls": report})], [listener.fileno() for listener in listeners])
    for listener in listeners:
        listener.close()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)  # Python ignores them, and what it ignores its program would ignore


def _enclose(network: Network) -> Report:
    """Build every wall. The network's is what was asked for and raises OSError; the others are reported."""
    report: Report = {"network": "the machine's own"}
    if network is not Network.HOST:
        namespace.own_network()
        report["network"] = UP
    steps: dict[str, Callable[[], None]] = {
        "privileges": namespace.no_new_privileges,
        "neighbours": namespace.no_neighbours,
    }
    if network is not Network.HOST:
        steps["capabilities"] = namespace.no_capabilities
    for wall, step in steps.items():
        try:
            step()
            report[wall] = UP
        except OSError as error:
            report[wall] = f"refused: {error.strerror or error}"
    return report


def _own_standard_error(control: socket.socket) -> socket.socket:
    """Standard error as the parent means it; the control socket moves to a number of its own."""
    moved = socket.socket(fileno=os.dup(control.detach()))
    _, (given,), _, _ = socket.recv_fds(moved, 1, 1)
    os.dup2(given, 2)
    os.close(given)
    return moved


def _tell(parent: socket.socket, said: dict[str, object]) -> None:
    with contextlib.suppress(OSError):
        parent.sendall(_line(said))


def _line(said: dict[str, object]) -> bytes:
    return json.dumps(said).encode() + b"\n"


if __name__ == "__main__":
    main()
