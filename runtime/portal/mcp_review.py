"""Tools as an operator accepted them: one that is not as it was is held back until it is accepted. Security boundary.

One file for each upstream below the state directory, which nobody else can enter, written by the gateway and by
`lockgate tools review`. A name is
not enough to know a tool by: what a model reads of it and what it takes decide what it will be used for.
"""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import mcp_types

from runtime.portal.tool import SkippedTool
from sandboxes.canonical_json import canonical_json

Policy = Literal["changes", "all", "none"]
MAX_FILE_BYTES: Final = 64 << 20
COMMAND: Final = "lockgate tools review"

type Definition = dict[str, Any]


def definition_of(tool: mcp_types.Tool) -> Definition:
    """What a change of is a change of the tool: description, schemas and annotations."""
    told = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
    kept = ("title", "description", "inputSchema", "outputSchema", "annotations")
    return {key: told[key] for key in kept if key in told}


def digest_of(definition: Definition) -> str:
    """SHA-256 of the definition, hexadecimal."""
    return hashlib.sha256(canonical_json(definition)).hexdigest()


@dataclass(kw_only=True, slots=True)
class Reviewed:
    """The tools of one upstream by the server's own names: as accepted, and as they wait to be."""

    accepted: dict[str, Definition] = field(default_factory=dict)
    held: dict[str, Definition] = field(default_factory=dict)


class ReviewFile:
    """The file of one upstream."""

    def __init__(self, directory: Path, upstream: str, policy: Policy = "changes") -> None:
        self.upstream = upstream
        self._path = directory / f"{upstream}.json"
        self._policy = policy
        self._seen = (0, 0)

    @property
    def changed(self) -> bool:
        """Whether the file is another than `admit` last left."""
        return self._stamp() != self._seen

    def _stamp(self) -> tuple[int, int]:
        """Another whenever the file is another; zeros where there is none."""
        try:
            found = self._path.stat()
        except OSError:
            return (0, 0)
        return (found.st_mtime_ns, found.st_ino)

    def admit(self, listed: Sequence[mcp_types.Tool]) -> tuple[list[mcp_types.Tool], list[SkippedTool]]:
        """The tools that are as accepted, and those held back. What is held is written down for the operator.

        Raises OSError or ValueError where the file cannot be used; then nothing is admitted.
        """
        if self._policy == "none":
            return list(listed), []
        with self._locked():
            first = self._stamp() == (0, 0)
            reviewed = self.read()
            before = (dict(reviewed.accepted), dict(reviewed.held))
            reviewed.held = {}
            admitted, held = [], []
            for tool in listed:
                definition = definition_of(tool)
                known = reviewed.accepted.get(tool.name)
                if known is None and first and self._policy == "changes":
                    reviewed.accepted[tool.name] = known = definition
                if known == definition:
                    admitted.append(tool)
                    continue
                reviewed.held[tool.name] = definition
                held.append(self._held(tool.name, new=known is None))
            if first or before != (reviewed.accepted, reviewed.held):
                self._write(reviewed)
            self._seen = self._stamp()
        return admitted, held

    def accept(self, name: str, digest: str = "") -> None:
        """Take over the held definition of a tool. Raises KeyError if none is held, or another than `digest` begins."""
        with self._locked():
            reviewed = self.read()
            definition = reviewed.held[name]
            if not digest_of(definition).startswith(digest):
                raise KeyError(name)
            del reviewed.held[name]
            reviewed.accepted[name] = definition
            self._write(reviewed)

    def read(self) -> Reviewed:
        """What the file says. Raises OSError or ValueError."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return Reviewed()
        if size > MAX_FILE_BYTES:
            raise ValueError(f"{self._path.name} has {size} bytes; at most {MAX_FILE_BYTES}")
        said = json.loads(self._path.read_bytes())
        parts = (said.get("accepted"), said.get("held")) if isinstance(said, dict) else (None, None)
        if not all(isinstance(part, dict) for part in parts):
            raise ValueError(f"{self._path.name} is not a file of this kind")
        return Reviewed(accepted=said["accepted"], held=said["held"])

    def _held(self, name: str, *, new: bool) -> SkippedTool:
        what = "it is new" if new else "it is not as it was accepted"
        reason = f"{what}: held back until an operator accepts it with {COMMAND}"
        return SkippedTool(upstream=self.upstream, original=name[:200], reason=reason)

    def _write(self, reviewed: Reviewed) -> None:
        text = json.dumps({"accepted": reviewed.accepted, "held": reviewed.held}, indent=1)
        if len(text) > MAX_FILE_BYTES:
            raise ValueError(f"the definitions to keep have {len(text)} bytes; at most {MAX_FILE_BYTES}")
        draft = self._path.with_suffix(".new")
        with draft.open("w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self._path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """The gateway and a command at once take turns."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
