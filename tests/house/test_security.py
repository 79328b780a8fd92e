"""docs/security.md names what exists: files, tests, walls, and every file that calls itself a security boundary."""

import ast
import re
from pathlib import Path

import pytest

from runtime.isolate.versions import FLOORS
from runtime.worker.syscall_filter import ALLOWED
from sandboxes.walls import WALLS

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "docs" / name for name in ("security.md", "determinism.md")]
TEXT = PAGES[0].read_text(encoding="utf-8")
NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.\w+)(?:::(\w+))?`")
# Beside the list: clone, mmap, mprotect, tgkill, sendto, recvfrom with some arguments, and clone3 never.
WITH_ARGUMENTS = 6


def named(page: Path) -> list[tuple[str, str]]:
    return sorted(set(NAMED.findall(page.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_it_names_exists(page: Path) -> None:
    assert [path for path, _ in named(page) if not (ROOT / path).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_test_it_names_exists(page: Path) -> None:
    missing = []
    for path, test in named(page):
        if test:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            kinds = ast.FunctionDef | ast.AsyncFunctionDef
            functions = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
            missing += [f"{path}::{test}"] if test not in functions else []
    assert missing == []


def test_every_file_that_calls_itself_a_boundary_is_listed() -> None:
    listed = set(re.findall(r"`([\w/]+\.py)`", TEXT.split("## The files that are the boundary")[1]))
    sources = [path for top in ("runtime", "egress", "sandboxes") for path in (ROOT / top).rglob("*.py")]
    marked = [path for path in sources if "Security boundary." in path.read_text(encoding="utf-8")[:600]]
    calling = {str(path.relative_to(ROOT)) for path in marked}
    assert calling
    assert calling <= listed


def test_the_table_of_walls_is_that_of_the_program() -> None:
    table = TEXT.split("## The second wall")[1].split("## The third wall")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == WALLS


def test_the_number_of_allowed_calls_is_right() -> None:
    (number,) = re.findall(r"a seccomp filter of (\d+) calls", TEXT)
    assert int(number) == len(ALLOWED) + WITH_ARGUMENTS


def test_no_version_of_the_page_is_below_its_floor() -> None:
    least = {floor.engine: floor.least for floor in FLOORS}
    assert least["wasmtime"].split(".")[0] in TEXT
