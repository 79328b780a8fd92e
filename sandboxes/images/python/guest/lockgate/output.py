"""print, standard error, logging and warnings as log lines."""

import io
import logging
import sys
import warnings

import wit_world

from lockgate.limits import limits
from lockgate.memory import fit
from lockgate.text import cut, encoded

DEBUG, INFO, WARNING, ERROR = 1, 2, 3, 4


def emit(level: int, line: str, dropped: int = 0) -> None:
    """Hand one line to the host, cut to the limit."""
    text = cut(line, limits.max_log_line_bytes, dropped)
    fit(text)
    wit_world.log(level, text)


def emit_lines(level: int, text: str) -> None:
    """Hand a text to the host line by line."""
    for line in text.split("\n"):
        emit(level, line)


class Stream(io.TextIOBase):
    """A text stream whose complete lines become log lines; of an unfinished line only the start is kept."""

    encoding = "utf-8"
    errors = "replace"
    newlines = None
    line_buffering = True

    def __init__(self, level: int, name: str) -> None:
        self._level = level
        self._name = name
        self._parts: list[str] = []
        self._size = 0
        self._dropped = 0

    @property
    def name(self) -> str:
        """`<stdout>` or `<stderr>`."""
        return self._name

    @property
    def mode(self) -> str:
        """Always for writing."""
        return "w"

    @property
    def buffer(self) -> "Bytes":
        """The stream of bytes beneath, for what writes bytes."""
        return Bytes(self)

    def writable(self) -> bool:
        """Yes."""
        return True

    def isatty(self) -> bool:
        """Nobody watches."""
        return False

    def fileno(self) -> int:
        """Refuse: there are no file descriptors."""
        raise io.UnsupportedOperation(f"{self._name} has no file descriptor in this sandbox")

    def reconfigure(self, **options: object) -> None:
        """Accept and ignore: the encoding is UTF-8 whatever is asked."""

    def flush(self) -> None:
        """Nothing: a line is handed on when it ends."""

    def close(self) -> None:
        """Nothing: the streams stay open."""

    def write(self, text: str) -> int:
        """Take text; each newline ends a log line."""
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        start = 0
        while (end := text.find("\n", start)) >= 0:
            self._keep(text[start:end])
            self._emit()
            start = end + 1
        if start < len(text):
            self._keep(text[start:])
        return len(text)

    def finish(self) -> None:
        """Hand on an unfinished line."""
        if self._parts:
            self._emit()

    def discard(self) -> None:
        """Forget an unfinished line."""
        self._parts, self._size, self._dropped = [], 0, 0

    def _keep(self, text: str) -> None:
        room = limits.max_log_line_bytes + 1 - self._size
        if len(text) > room:
            # Characters beyond the room cannot be shown; only their bytes are counted.
            kept = max(room, 0)
            self._dropped += len(encoded(text[kept:]))
            text = text[:kept]
        if text:
            self._parts.append(text)
            self._size += len(text)

    def _emit(self) -> None:
        line, dropped = "".join(self._parts), self._dropped
        self.discard()
        emit(self._level, line, dropped)


class Bytes(io.RawIOBase):
    """`sys.stdout.buffer`: bytes are taken as UTF-8."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: bytes) -> int:
        """Decode and pass on."""
        self._stream.write(bytes(data).decode(errors="replace"))
        return len(data)


stdout = Stream(INFO, "<stdout>")
stderr = Stream(ERROR, "<stderr>")


def _level_of(record: logging.LogRecord) -> int:
    if record.levelno >= logging.ERROR:
        return ERROR
    if record.levelno >= logging.WARNING:
        return WARNING
    return INFO if record.levelno >= logging.INFO else DEBUG


_stream_emit = logging.StreamHandler.emit


def _emit_record(handler: logging.StreamHandler, record: logging.LogRecord) -> None:
    if not isinstance(handler.stream, Stream):
        _stream_emit(handler, record)
        return
    try:
        handler.stream.finish()
        emit_lines(_level_of(record), handler.format(record))
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 (logging's own rule: a bad record is reported, not raised)
        handler.handleError(record)


def _show_warning(message: warnings.WarningMessage) -> None:
    where = f"line {message.lineno}: " if message.filename.startswith("<program") else ""
    emit_lines(WARNING, f"{where}{message.category.__name__}: {message.message}")


def begin() -> None:
    """Put the streams in place, empty: a run begins."""
    stdout.discard()
    stderr.discard()
    sys.argv[:] = ["program.py"]
    sys.stdout = sys.__stdout__ = stdout
    sys.stderr = sys.__stderr__ = stderr


def end() -> None:
    """Hand on what is unfinished: a run ends."""
    stdout.finish()
    stderr.finish()


def install() -> None:
    """Route logging and warnings; once, before the snapshot."""
    logging.StreamHandler.emit = _emit_record
    warnings._showwarnmsg_impl = _show_warning  # noqa: SLF001 (the hook behind showwarning)
    import _py_warnings  # noqa: PLC0415 (3.14's home of the same function)

    _py_warnings._showwarnmsg_impl = _show_warning  # noqa: SLF001
