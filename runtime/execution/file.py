"""Files and images a program gives with `emit`."""

from dataclasses import dataclass
from typing import Final

MOST_NAME: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class File:
    """One file: name and media type are the program's word, `sha256` is the host's."""

    number: int
    name: str
    type: str
    data: bytes
    sha256: str
