"""A worker's standard error: lines, bounded, without control characters."""

import asyncio
import logging
import os

import pytest

from runtime.worker.output import WorkerOutput, printable


async def read(data: bytes, most: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.WARNING, "runtime.worker.output")
    reading, writing = os.pipe()
    ended = asyncio.Event()

    class Watched(WorkerOutput):
        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            ended.set()

    with os.fdopen(reading, "rb", 0) as pipe:
        await asyncio.get_running_loop().connect_read_pipe(lambda: Watched(7, most), pipe)

        def write() -> None:
            with os.fdopen(writing, "wb", 0) as file:
                file.write(data)

        await asyncio.to_thread(write)
        await asyncio.wait_for(ended.wait(), 10)
    return [record.getMessage() for record in caplog.records]


async def test_lines_reach_the_log_with_the_workers_number(caplog: pytest.LogCaptureFixture) -> None:
    assert await read(b"one\n\ntwo", 100, caplog) == ["worker 7: one", "worker 7: two"]


async def test_what_is_beyond_the_bound_is_not_read(caplog: pytest.LogCaptureFixture) -> None:
    messages = await read(b"12345678\n" * 4_000, 20, caplog)
    assert messages == [
        "worker 7: 12345678",
        "worker 7: 12345678",
        "worker 7 wrote too much to its standard error; the rest is not read",
        "worker 7: 12",
    ]


async def test_a_line_without_an_end_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    (message,) = await read(b"x" * 5_000, 10_000, caplog)
    assert message == "worker 7: " + "x" * 1_000


@pytest.mark.parametrize(
    ("line", "expected"),
    [(b"plain", "plain"), (b"\x1b[2Jgone\r", "\ufffd[2Jgone"), (b"\xff\x00", "\ufffd\ufffd"), ("é".encode(), "é")],
)
def test_control_characters_are_replaced(line: bytes, expected: str) -> None:
    assert printable(line) == expected
