"""Profiles from YAML files: one profile a file, all names distinct."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sandboxes.document import parse_document, read_document
from sandboxes.problem import DocumentError, Mark, Problem
from sandboxes.profile import Profile
from sandboxes.validation import nearest, validate

SHIPPED: Final = Path(__file__).parent / "profiles"
"""The directory of the profiles that come with Lockgate."""


class ProfileError(DocumentError):
    """Profile files that cannot be used; the text has one line per problem: file, line, column, key path."""


def parse_profile(data: bytes, name: str) -> Profile:
    """The profile in `data`; errors call the file `name`. Raises ProfileError, whatever the bytes."""
    try:
        return validate(Profile, parse_document(data, name))
    except DocumentError as error:
        raise ProfileError(error.problems) from None


def load_profile(path: Path) -> Profile:
    """The profile in the file `path`. Raises ProfileError, also for a file that cannot be read."""
    try:
        return validate(Profile, read_document(path))
    except DocumentError as error:
        raise ProfileError(error.problems) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileStore:
    """The profiles a service knows, by name. Never changes; a reload makes a new one."""

    profiles: Mapping[str, Profile] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, name: str) -> Profile:
        """The profile called `name`. Raises LookupError that names the nearest and all there are."""
        if (profile := self.profiles.get(name)) is not None:
            return profile
        known = ", ".join(sorted(self.profiles)) or "none"
        raise LookupError(f'there is no profile "{name}"{nearest(name, self.profiles)} (profiles: {known})')


def load_profiles(directories: Iterable[Path] = (), *, shipped: bool = True) -> ProfileStore:
    """Every `*.yaml` of the directories, after the shipped ones.

    Raises ProfileError with the problems of all files: a name used twice and a directory that is not
    there are such problems too.
    """
    problems: list[Problem] = []
    profiles: dict[str, Profile] = {}
    files: dict[str, Path] = {}
    for path in _files([SHIPPED, *directories] if shipped else directories, problems):
        try:
            document = read_document(path)
            profile = validate(Profile, document)
        except DocumentError as error:
            problems.extend(error.problems)
            continue
        if profile.name in files:
            message = f'profile "{profile.name}" is already defined in {files[profile.name]}'
            problems.append(document.problem("name", document.mark("name"), message))
            continue
        profiles[profile.name], files[profile.name] = profile, path
    if problems:
        raise ProfileError(tuple(problems))
    return ProfileStore(profiles=MappingProxyType(profiles), files=MappingProxyType(files))


def _files(directories: Iterable[Path], problems: list[Problem]) -> list[Path]:
    found: list[Path] = []
    for directory in dict.fromkeys(path.resolve() for path in directories):
        if not directory.is_dir():
            problems.append(Problem(file=str(directory), mark=Mark(), path="", message="is not a directory"))
            continue
        found += sorted(path for path in directory.iterdir() if path.suffix in {".yaml", ".yml"})
    return found
