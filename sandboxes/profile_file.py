"""Profiles from YAML files: one profile a file, all names distinct."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sandboxes.document import parse_document, read_document
from sandboxes.problem import DocumentError
from sandboxes.profile import Profile
from sandboxes.validation import nearest, validate
from sandboxes.yaml_directory import Declared, load_directories

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
        return _declared(path).model
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
    try:
        found = load_directories([SHIPPED, *directories] if shipped else directories, _declared, kind="profile")
    except DocumentError as error:
        raise ProfileError(error.problems) from None
    return ProfileStore(profiles=found.models, files=found.files)


def _declared(path: Path) -> Declared[Profile]:
    document = read_document(path)
    profile = validate(Profile, document)
    return Declared(name=profile.name, model=profile, document=document)
