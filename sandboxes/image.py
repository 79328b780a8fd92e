"""An image an operator declares: the Python image and further pure-Python packages, each pinned by its wheel's hash."""

import hashlib
import keyword
import re
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandboxes.canonical_json import canonical_json

BASE_IMAGES: Final = ("javascript", "python", "typescript")
"""Built from sources of their own; no declaration may take their names."""

IMAGE_NAME: Final = r"^[a-z][a-z0-9-]{0,62}$"


def canonical_package(name: str) -> str:
    """A package's name as indexes compare it: lower case, every run of `.`, `_` and `-` one `-`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _check_name(name: str) -> str:
    if name in BASE_IMAGES:
        raise ValueError(f'"{name}" is an image of its own; choose another name')
    return name


def _check_module(name: str) -> str:
    if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
        raise ValueError(f'expected the name of a module such as "dateutil.parser", not "{name}"')
    return name


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Package(_Model):
    """One package: exactly one wheel."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?$", description="Its name in the package index."
    )
    version: str = Field(
        pattern=r"^[0-9][0-9A-Za-z.!+]{0,98}$", description='Exactly one version such as "3.1.6"; in quotes.'
    )
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the wheel, 64 hex digits, as PyPI lists it.")
    drop_compiled: bool = Field(
        default=False,
        description="Take only the Python files of a wheel that has compiled modules: the package works without them.",
    )

    @property
    def pin(self) -> str:
        """`name version`, for messages."""
        return f"{self.name} {self.version}"


def _check_distinct(packages: tuple[Package, ...]) -> tuple[Package, ...]:
    names = [canonical_package(package.name) for package in packages]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ValueError(f'"{packages[index].name}" is listed twice')
    return packages


class Image(_Model):
    """One declared image. Every package it needs is listed, those that others depend on included."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Lockgate image")

    name: Annotated[str, AfterValidator(_check_name)] = Field(
        pattern=IMAGE_NAME, description="How profiles name the image, and the file: a-z, 0-9 and -."
    )
    description: str = Field("", max_length=1_000, description="For people: what it is for.")
    packages: Annotated[tuple[Package, ...], AfterValidator(_check_distinct)] = Field(
        min_length=1, max_length=200, description="What it has beside the standard library."
    )
    preload: tuple[Annotated[str, AfterValidator(_check_module)], ...] = Field(
        (), max_length=500, description="Modules imported before the snapshot: a program's import costs nothing then."
    )
    practice: tuple[Annotated[str, Field(min_length=1, max_length=64 << 10)], ...] = Field(
        (), max_length=100, description="Programs run before the snapshot, so that what they use is warm in it."
    )

    def digest(self) -> str:
        """64 hex digits over the canonical JSON of every field."""
        return hashlib.sha256(canonical_json(self.model_dump(mode="json"))).hexdigest()
