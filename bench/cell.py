"""A cell for benchmarks, in a state directory that keeps compiled images between runs."""

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import yaml

from runtime.client import Context, Language, execute_request
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell, CellOptions
from sandboxes.state import open_state

_IMAGES = Path(__file__).resolve().parent.parent / ".lockgate" / "images"


@contextlib.asynccontextmanager
async def running_cell(*profiles: dict[str, Any]) -> AsyncIterator[Cell]:
    """A whole cell, egress proxy included, with these profiles beside the shipped ones."""
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        state = open_state(directory / "state")
        _IMAGES.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.images.symlink_to(_IMAGES)
        (directory / "profiles").mkdir()
        for profile in profiles:
            (directory / "profiles" / f"{profile['name']}.yaml").write_text(yaml.safe_dump(profile))
        config = directory / "lockgate.yaml"
        config.write_text(yaml.safe_dump({"profiles": ["profiles"]}))
        async with Cell(CellOptions(state=state, config_file=config, any_port=True)) as cell:
            yield cell


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


async def rounds[T](count: int, one: Callable[[], T]) -> list[T]:
    """Run a blocking round several times, beside the loop that supervises the cell."""
    return [await asyncio.to_thread(one) for _ in range(count)]
