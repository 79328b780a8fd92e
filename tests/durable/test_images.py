"""What began on an image goes on, and is replayed, on that image: it is kept while a record refers to it."""

import contextlib
import hashlib
import sqlite3
from pathlib import Path

import grpc
import pytest

from runtime.client import Client
from runtime.isolate.shipped import wasm_path
from runtime.rpc import runtime_pb2 as pb
from runtime.service.kept_images import forget_images, keep_images
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell
from tests.durable.marks import Marks
from tests.service.programs import request

# An empty custom section named "x": another file, the same guest.
_SECTION = bytes((0, 2, 1)) + b"x"


def began_on(state: StateDirectory, digest: str) -> None:
    """Make the store say that all executions began on another image."""
    with contextlib.closing(sqlite3.connect(state.store_file)) as connection, connection:
        connection.execute("UPDATE executions SET image_digest = ?", (f"sha256:{digest}",))


@pytest.mark.usefixtures("upstream")
async def test_an_execution_is_replayed_on_the_image_it_ran_on(state: StateDirectory, config: Path, upstream: Marks):
    code = "return (await codemode.marks.mark({name: 'a'})).count"
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await client.execute(request(code, profile="durable"))
            assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    older = wasm_path("javascript").read_bytes() + _SECTION
    digest = hashlib.sha256(older).hexdigest()
    began_on(state, digest)
    with durable_cell(state, config) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await client.replay(pb.ReplayRequest(execution_id=execution.id))
            assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
            assert digest in str(refused.value.details())
    (state.kept_images / f"javascript-{digest}.wasm").write_bytes(older)
    with durable_cell(state, config) as cell:
        async with Client(cell.grpc_address, cell.token) as client:
            reply = await client.replay(pb.ReplayRequest(execution_id=execution.id))
            assert reply.verified, reply.differences
    assert upstream.writes == ["a"]


class Image:
    """As much of a compiled image as keeping looks at."""

    fuel = False

    def __init__(self, name: str, digest: str) -> None:
        self.name, self.digest = name, digest


def test_images_are_kept_while_they_are_used_or_referred_to(tmp_path: Path):
    digest = hashlib.sha256(wasm_path("javascript").read_bytes()).hexdigest()
    current: list = [Image("javascript", digest)]
    kept = tmp_path / "kept"
    keep_images(kept, current)
    keep_images(kept, current)
    for name in ("referred", "forgotten"):
        (kept / f"javascript-{hashlib.sha256(name.encode()).hexdigest()}.wasm").write_bytes(b"")
    referred = hashlib.sha256(b"referred").hexdigest()
    forget_images(kept, current, {f"sha256:{referred}"})
    assert {file.name for file in kept.iterdir()} == {f"javascript-{digest}.wasm", f"javascript-{referred}.wasm"}
