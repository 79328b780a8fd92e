"""A cell for benchmarks, in a state directory that keeps compiled images between runs."""

import asyncio
import contextlib
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import yaml

from bench.machine import ROOT
from runtime.client import Context, Language, execute_request
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell, CellOptions
from sandboxes.state import StateDirectory, open_state

IMAGES = ROOT / ".lockgate" / "images"


@contextlib.contextmanager
def scratch_state() -> Iterator[StateDirectory]:
    """A state directory of its own, but for the compiled images."""
    with tempfile.TemporaryDirectory(prefix="lockgate-bench-") as scratch:
        state = open_state(Path(scratch) / "state")
        IMAGES.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.images.symlink_to(IMAGES)
        yield state


@contextlib.asynccontextmanager
async def running_cell(*profiles: dict[str, Any], **config: Any) -> AsyncIterator[Cell]:
    """A whole cell, egress proxy included, with these profiles beside the shipped ones; `config`: of lockgate.yaml."""
    with scratch_state() as state:
        directory = state.path.parent / "profiles"
        directory.mkdir()
        for document in profiles:
            (directory / f"{document['name']}.yaml").write_text(yaml.safe_dump(document))
        file = state.path.parent / "lockgate.yaml"
        file.write_text(yaml.safe_dump({"profiles": [directory.name], **config}))
        async with Cell(CellOptions(state=state, config_file=file, any_port=True)) as cell:
            await asyncio.to_thread(wait_until_loaded, cell.mcp_address)
            yield cell


def wait_until_loaded(mcp_address: str) -> None:
    """Return once the gateway has loaded what MCP clients need, which it does beside its first executions."""
    with contextlib.suppress(urllib.error.HTTPError):  # whom no token names is refused, by somebody
        urllib.request.urlopen(f"http://{mcp_address}/mcp", timeout=30).close()


def profile(name: str, **fields: Any) -> dict[str, Any]:
    """A profile that allows nothing but computing."""
    return {
        "name": name,
        "version": 1,
        "languages": ["javascript", "typescript", "python"],
        "environments": ["dev"],
        **fields,
    }


def bench_request(
    code: str, language: Language, *, profile_name: str = "standard", owner: str = "bench", **options: Any
) -> pb.ExecuteRequest:
    """A request as a benchmark sends it."""
    context = Context(actor="bench", owner=owner, environment="dev", reason="a benchmark")
    return execute_request(code, profile=profile_name, context=context, language=language, **options)
