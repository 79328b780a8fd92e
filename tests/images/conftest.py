"""Fixtures for guest images: built once if the inputs changed, compiled once per session."""

from collections.abc import Callable

import pytest
import wasmtime

from sandboxes.images import image_path
from sandboxes.images.build import build_image
from tests.images.javascript_host import Answer, Call, Guest, load, run_to_end

RunJavaScript = Callable[..., Guest]


@pytest.fixture(scope="session")
def javascript_module() -> wasmtime.Module:
    build_image("javascript")
    return load(image_path("javascript"))


@pytest.fixture
def start(javascript_module: wasmtime.Module) -> RunJavaScript:
    """start(program, inputs=None, **limits) -> the guest after `run`, for tests that deliver events by hand."""

    def start_program(program: str, inputs: object = None, *, memory_bytes: int = 128 << 20, **limits: object) -> Guest:
        guest = Guest(javascript_module, memory_bytes=memory_bytes)
        guest.run(program, inputs, **limits)
        return guest

    return start_program


@pytest.fixture
def run(start: RunJavaScript) -> RunJavaScript:
    """run(program, inputs=None, answer=None, **limits) -> the finished guest; `answer` is what each call gets."""

    def run_program(
        program: str, inputs: object = None, answer: Callable[[Call], Answer] | None = None, **limits: object
    ) -> Guest:
        return run_to_end(start(program, inputs, **limits), answer)

    return run_program
