"""The zygote: loads engine and images once, single-threaded, and forks workers on request.

Run as `python -I -m runtime.worker.zygote FD`, FD being its end of a SOCK_SEQPACKET pair. The first message
is JSON settings; every later one carries two descriptors, socket and standard error of the worker to fork.
It ends with its gateway.
"""

import array
import ctypes
import gc
import json
import logging
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

from runtime.isolate.compiled import CompiledImage
from runtime.isolate.engine import make_engine
from runtime.isolate.images import Image, load_eraser, load_image
from runtime.isolate.typescript import TypeEraser
from runtime.worker.lockdown import lock_down, lock_down_zygote
from runtime.worker.spares import Spares
from runtime.worker.worker import Worker
from sandboxes.walls import UP

log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1
_MOST_MESSAGE = 1 << 16
_DESCRIPTORS = 2
# Guests give way to the gateway, whose timers have to be on time while every core is taken by spinning programs.
_NICE = 5


def main() -> None:
    """Serve fork requests until the gateway is gone."""
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    _die_with_parent()
    control = socket.socket(fileno=int(sys.argv[1]))
    settings = json.loads(control.recv(_MOST_MESSAGE))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    images, eraser = _load([_compiled(entry) for entry in settings["images"]], _compiled(settings["eraser"]))
    eraser.prepare()
    spares = [Spares(image) for image in images]
    for wall, state in lock_down_zygote().items():
        if state != UP:
            log.warning("zygote: %s %s", wall, state)
    gc.collect()
    gc.freeze()
    control.send(b"ready")
    while True:
        message, descriptors = _receive(control)
        if not message:
            os._exit(0)
        link, stderr = descriptors
        child = os.fork()
        if child == 0:
            control.close()
            _become_worker(spares, eraser, link, stderr, settings["slots"])
        os.close(link)
        os.close(stderr)
        control.send(str(child).encode())


def _compiled(entry: dict[str, Any]) -> CompiledImage:
    return CompiledImage(**{**entry, "path": Path(entry["path"])})


def _load(compiled: list[CompiledImage], eraser: CompiledImage) -> tuple[list[Image], TypeEraser]:
    """Every image, in as many engines as there are kinds: counting fuel is a setting of the engine."""
    engines = {fuel: make_engine(fuel=fuel) for fuel in {False, *(image.fuel for image in compiled)}}
    images = [load_image(engines[image.fuel], image) for image in compiled]
    return images, load_eraser(engines[False], eraser)


def _receive(control: socket.socket) -> tuple[bytes, list[int]]:
    descriptors = array.array("i")
    message, ancillary, _, _ = control.recvmsg(64, socket.CMSG_SPACE(_DESCRIPTORS * descriptors.itemsize))
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors.frombytes(data)
    return message, list(descriptors)


def _become_worker(spares: list[Spares], eraser: TypeEraser, descriptor: int, stderr: int, slots: int) -> None:
    _die_with_parent()
    logging.raiseExceptions = False
    os.nice(_NICE)
    os.dup2(stderr, 2)
    os.close(stderr)
    link = socket.socket(fileno=descriptor)
    Worker(spares, eraser, link, slots, lock_down([descriptor])).serve()


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


if __name__ == "__main__":
    main()
