"""Directories of YAML files that each declare one thing by its name; the names of all are distinct."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sandboxes.document import Document
from sandboxes.problem import DocumentError, Problem

ENDINGS: Final = frozenset({".yaml", ".yml"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Declared[M]:
    """What one file declares."""

    name: str
    model: M
    document: Document


@dataclass(frozen=True, kw_only=True, slots=True)
class Declarations[M]:
    """By name what was declared, and the file of each."""

    models: Mapping[str, M]
    files: Mapping[str, Path]


def load_directories[M](
    directories: Iterable[Path], load: Callable[[Path], Declared[M]], *, kind: str
) -> Declarations[M]:
    """What all files declare; messages call one thing a `kind`. `load` raises DocumentError for a file it refuses.

    Raises DocumentError with the problems of all files: a name used twice and a directory that is not there are
    such problems too.
    """
    problems: list[Problem] = []
    models: dict[str, M] = {}
    files: dict[str, Path] = {}
    for path in _files(directories, problems):
        try:
            found = load(path)
        except DocumentError as error:
            problems.extend(error.problems)
            continue
        if found.name in files:
            message = f'{kind} "{found.name}" is already declared in {files[found.name]}'
            problems.append(found.document.problem("name", found.document.mark("name"), message))
            continue
        models[found.name], files[found.name] = found.model, path
    if problems:
        raise DocumentError(tuple(problems))
    return Declarations(models=MappingProxyType(models), files=MappingProxyType(files))


def _files(directories: Iterable[Path], problems: list[Problem]) -> list[Path]:
    found: list[Path] = []
    for directory in dict.fromkeys(path.resolve() for path in directories):
        if not directory.is_dir():
            problems.append(Problem(file=str(directory), mark=None, path="", message="is not a directory"))
            continue
        found += sorted(path for path in directory.iterdir() if path.suffix in ENDINGS)
    return found
