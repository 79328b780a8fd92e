"""The cache of documents: kept, found, and refused where it may not be what was stored."""

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.portal import document_cache
from runtime.portal.document_cache import DocumentCache
from runtime.portal.openapi import load_openapi, openapi_tools

DOCUMENT = {"openapi": "3.1.0", "paths": {"/é": {}}}


@pytest.fixture
def cache(tmp_path: Path) -> DocumentCache:
    return DocumentCache(tmp_path / "documents")


def entry(tmp_path: Path, key: str) -> Path:
    return tmp_path / "documents" / f"{key}.json"


def test_kept_and_found(cache: DocumentCache, tmp_path: Path) -> None:
    key = cache.key(b"source")
    assert cache.find(key) is None
    cache.keep(key, DOCUMENT)
    assert cache.find(key) == DOCUMENT
    assert stat.S_IMODE(entry(tmp_path, key).stat().st_mode) == 0o600
    assert stat.S_IMODE(entry(tmp_path, key).parent.stat().st_mode) == 0o700
    assert [path.name for path in entry(tmp_path, key).parent.iterdir()] == [f"{key}.json"]


def test_other_bytes_and_other_code_are_other_entries(cache: DocumentCache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache.key(b"a") != cache.key(b"b")
    before = cache.key(b"a")
    monkeypatch.setattr(document_cache, "code_version", lambda: b"other")
    assert DocumentCache(Path("x")).key(b"a") != before


def _write(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data)  # type: ignore[func-returns-value]


def _edit(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"3.1.0", b"3.0.0"))


def _link(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


@pytest.mark.parametrize(
    "spoil",
    [
        _edit, _link, _pipe, _directory, lambda path: path.chmod(0o660), lambda path: path.chmod(0o604), _write(b""),
        _write(b"{}"), _write(b"lockgate-document 1 x\n{}"), _write(b"\x80\x04\x95pickle"), _write(b"\n" * 9),
    ],
)  # fmt: skip
def test_an_entry_that_is_not_as_it_was_stored_is_none(
    cache: DocumentCache, tmp_path: Path, spoil: Callable[[Path], Any]
) -> None:
    key = cache.key(b"source")
    cache.keep(key, DOCUMENT)
    spoil(entry(tmp_path, key))
    assert cache.find(key) is None


def test_a_wrong_entry_is_written_anew(cache: DocumentCache, tmp_path: Path) -> None:
    key = cache.key(b"source")
    cache.keep(key, DOCUMENT)
    _edit(entry(tmp_path, key))
    cache.keep(key, DOCUMENT)
    assert cache.find(key) == DOCUMENT


def test_a_directory_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cache = DocumentCache(tmp_path / "file" / "documents")
    cache.keep("k", DOCUMENT)
    assert cache.find("k") is None


def test_old_entries_go(cache: DocumentCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_cache, "MAX_FILES", 2)
    for number in range(4):
        cache.keep(f"k{number}", DOCUMENT)
        os.utime(entry(tmp_path, f"k{number}"), ns=(number, number))
    cache.keep("k9", DOCUMENT)
    assert cache.find("k9") == DOCUMENT
    assert len(list(entry(tmp_path, "x").parent.iterdir())) == 2


def test_githubs_document_is_the_same_from_the_cache(cache: DocumentCache, github_file: Path) -> None:
    data = github_file.read_bytes()
    cold = load_openapi("github", data, "api")
    cache.keep("k", json.loads(data))
    document = cache.find("k")
    assert document is not None
    warm = openapi_tools("github", document, "api")
    assert [(t.name, t.input.schema, t.binding) for t in warm.tools] == [
        (t.name, t.input.schema, t.binding) for t in cold.tools
    ]
