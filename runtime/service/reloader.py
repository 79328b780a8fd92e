"""Takes over what the operator edits while the service runs. What cannot be loaded changes nothing."""

import asyncio
import json
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from runtime.service.child import ChildFailedError
from runtime.service.loaded import Loaded
from runtime.service.watch import Watch
from sandboxes.problem import DocumentError

log = logging.getLogger(__name__)

POLL_S = 1.0

type Apply = Callable[[Loaded], Awaitable[None]]
type Tell = Callable[[str], Awaitable[None]]


class Reloader:
    """Watches the files of a `Loaded`. `apply` hands a new one to the children, `tell` that there is a problem.

    `status_file` says, for `lockgate doctor`, which generation is in force and what is wrong with the files.
    """

    def __init__(
        self,
        loaded: Loaded,
        config_file: Path | None,
        status_file: Path,
        apply: Apply,
        tell: Callable[[str], Awaitable[None]],
    ) -> None:
        self.loaded = loaded
        self.problem = ""
        self._tried = loaded.number  # a number is never used twice, whatever became of it
        self._config_file = config_file
        self._status_file = status_file
        self._apply = apply
        self._tell = tell
        self._wanted = asyncio.Event()
        self._watch = self._watch_files()
        self._write_status()

    def request(self) -> None:
        """Reload now, whether or not a file changed."""
        self._wanted.set()

    async def run(self, poll_s: float = POLL_S) -> None:
        """Watch until cancelled."""
        while True:
            try:
                async with asyncio.timeout(poll_s):
                    await self._wanted.wait()
            except TimeoutError:
                if not await asyncio.to_thread(self._watch.changed):
                    continue
            self._wanted.clear()
            await self.reload()

    async def reload(self) -> None:
        """Load the files and put them in force, or keep what is and say why."""
        self._watch = await asyncio.to_thread(self._watch_files)
        try:
            following = await asyncio.to_thread(self.loaded.followed_by, self._config_file)
            if not following.same_rules_as(self.loaded):
                self._tried += 1
                following = replace(following, number=self._tried)
                await self._apply(following)
                self._note_unraised(following)
                self.loaded = following
                log.info("generation %d of the configuration is in force", following.number)
                for warning in following.warnings():
                    log.warning("%s", warning)
                self._watch = await asyncio.to_thread(self._watch_files)
            problem = ""
        except (DocumentError, ChildFailedError, OSError) as error:
            problem = str(error)
            log.error(
                "the configuration cannot be loaded; generation %d stays in force:\n%s", self.loaded.number, problem
            )
        if problem != self.problem:
            self.problem = problem
            await self._tell(problem)
        self._write_status()

    def _note_unraised(self, following: Loaded) -> None:
        for name, profile in following.profiles.items():
            before = self.loaded.profiles.get(name)
            if before is not None and before.version == profile.version and before.digest() != profile.digest():
                log.warning("profile %s was changed and its version was not; records tell it by its digest", name)

    def _watch_files(self) -> Watch:
        files = [self._config_file] if self._config_file is not None else []
        return Watch([*files, *(Path(place) for place in self.loaded.config.profiles)])

    def _write_status(self) -> None:
        status = {
            "pid": os.getpid(),
            "generation": self.loaded.number,
            "looked": datetime.now(UTC).isoformat(timespec="seconds"),
            "problem": self.problem,
            "stale": self.loaded.stale,
        }
        fresh = self._status_file.with_suffix(".new")
        try:
            fresh.write_text(json.dumps(status), encoding="utf-8")
            fresh.replace(self._status_file)
        except OSError as error:
            log.warning("the state of the configuration cannot be written: %s", error.strerror)
