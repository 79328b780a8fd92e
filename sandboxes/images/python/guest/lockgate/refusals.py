"""What a sandbox cannot do fails by an exception that names the alternative, instead of a trap or an odd error."""

import builtins
import errno
import os
import select
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import thread as thread_pool
from typing import Any, NoReturn

_FILES = "there are no files in this sandbox: use io.StringIO, io.BytesIO or a dict, and return data as the result"
_SOCKETS = "there are no sockets in this sandbox: use await fetch(...), requests or urllib.request.urlopen"
_PROCESSES = "there are no processes in this sandbox: do it in Python, or call a tool of codemode"
_THREADS = "there are no threads in this sandbox: use asyncio.gather for host calls in parallel, or call it directly"
_INPUT = "there is nobody to ask in this sandbox: use the global `inputs`, or return a question as the result"
_DESCRIPTORS = (0, 1, 2)
_MAX_RECURSION = 5_000


def _refusing(kind: type[BaseException], message: str) -> Callable[..., NoReturn]:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise kind(message)

    return refuse


def _refusing_os(number: int, message: str) -> Callable[..., NoReturn]:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(number, message)

    return refuse


def _open(file: Any, mode: str = "r", *_arguments: Any, **_options: Any) -> NoReturn:
    """Refuse as an absent or unwritable file would."""
    if not isinstance(file, (str, bytes, int, os.PathLike)):
        raise TypeError(f"expected str, bytes or os.PathLike object, not {type(file).__name__}")
    name = file if isinstance(file, int) else os.fspath(file)
    if set(mode) & set("wax+"):
        raise PermissionError(errno.EROFS, _FILES, name)
    raise FileNotFoundError(errno.ENOENT, _FILES, name)


class _Input:
    """Standard input."""

    encoding = "utf-8"
    errors = "strict"
    closed = False
    name = "<stdin>"
    read = readline = readlines = __next__ = _refusing(RuntimeError, _INPUT)
    fileno = _refusing_os(errno.EBADF, _INPUT)

    def __iter__(self) -> "_Input":
        return self

    def isatty(self) -> bool:
        """Nobody is there."""
        return False

    def readable(self) -> bool:
        """In name only."""
        return True

    def close(self) -> None:
        """Nothing is open."""


_sqlite_connect = sqlite3.connect


def _connect(database: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
    """Connect; a database in a file gets an error that says what works."""
    try:
        return _sqlite_connect(database, *arguments, **options)
    except sqlite3.OperationalError as error:
        if "unable to open" not in str(error):
            raise
        raise sqlite3.OperationalError(f"{error}: there are no files in this sandbox, use ':memory:'") from None


class InlineExecutor(futures.Executor):
    """`ThreadPoolExecutor` without threads: `submit` runs the function before it returns."""

    def __init__(
        self, *_arguments: Any, initializer: Any = None, initargs: tuple[Any, ...] = (), **_options: Any
    ) -> None:
        if initializer is not None:
            initializer(*initargs)
        self._closed = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future:
        """Run now; the future is done."""
        if self._closed:
            raise RuntimeError("cannot schedule new futures after shutdown")
        future: futures.Future = futures.Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 (it belongs to whoever asks for the result)
            future.set_exception(error)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        """Refuse further work."""
        self._closed = True


def _guard_descriptors() -> None:
    """Calls on the standard descriptors would reach for streams the host does not have."""
    refuse = _refusing_os(errno.EBADF, "there are no file descriptors in this sandbox")
    for name in (
        *(
            "read",
            "readv",
            "readinto",
            "pread",
            "preadv",
            "write",
            "writev",
            "pwrite",
            "pwritev",
            "close",
            "closerange",
        ),
        *("dup", "dup2", "fstat", "fstatvfs", "fdopen", "fsync", "fdatasync", "ftruncate", "isatty", "lseek", "pipe"),
        *("get_blocking", "set_blocking", "get_inheritable", "set_inheritable", "posix_fadvise", "posix_fallocate"),
        *("ttyname", "tcgetpgrp", "device_encoding", "sendfile", "login_tty", "openpty", "fchdir", "fchmod", "fchown"),
    ):
        if hasattr(os, name):
            setattr(os, name, refuse)
    os.isatty = lambda _descriptor: False
    os.device_encoding = lambda _descriptor: None


_set_recursion_limit = sys.setrecursionlimit


def _bounded_recursion(limit: int) -> None:
    """Set the limit, at most to what the stack outside allows."""
    _set_recursion_limit(min(limit, _MAX_RECURSION) if isinstance(limit, int) else limit)


def install() -> None:
    """Put every refusal in place; once, before the snapshot."""
    builtins.open = _open
    import _io  # noqa: PLC0415
    import io  # noqa: PLC0415

    io.open = _open
    io.FileIO = _io.FileIO = _refusing_os(errno.EROFS, _FILES)
    builtins.input = _refusing(RuntimeError, _INPUT)
    builtins.exit = builtins.quit = sys.exit
    sys.stdin = sys.__stdin__ = _Input()
    sys.breakpointhook = _refusing(RuntimeError, "there is no debugger in this sandbox: use print")
    sys.setrecursionlimit = _bounded_recursion
    sys._debugmallocstats = sys._baserepl = _refusing_os(errno.EBADF, "there is no terminal in this sandbox")  # noqa: SLF001
    _guard_descriptors()
    os.system = os.popen = os._exit = os.abort = _refusing_os(errno.ENOSYS, _PROCESSES)
    signal.raise_signal = signal.alarm = signal.pause = _refusing_os(errno.ENOSYS, _PROCESSES)
    subprocess.Popen.__init__ = _refusing_os(errno.ENOSYS, _PROCESSES)
    threading.Thread.start = _refusing(RuntimeError, _THREADS)
    thread_pool.ThreadPoolExecutor = futures.ThreadPoolExecutor = InlineExecutor
    sqlite3.connect = _connect
    tempfile._get_default_tempdir = _refusing_os(errno.ENOENT, _FILES)  # noqa: SLF001
    os.times = lambda: os.times_result((time.monotonic(), 0.0, 0.0, 0.0, time.monotonic()))
    _refuse_sockets()


def _refuse_sockets() -> None:
    refuse = _refusing_os(errno.ENETUNREACH, _SOCKETS)
    socket.socket.__init__ = refuse
    for name in (
        *("create_connection", "create_server", "socketpair", "fromfd", "getaddrinfo", "gethostbyname"),
        *("gethostbyname_ex", "gethostbyaddr", "getnameinfo", "getfqdn", "gethostname"),
    ):
        setattr(socket, name, refuse)
    socket.gethostname = socket.getfqdn = lambda *_name: "sandbox"
    for name in ("select", "poll", "epoll"):
        setattr(select, name, refuse)
