"""The service under attack: a cell of its own, and what can be seen of its processes from outside."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import yaml

from runtime.service.cell import Cell, CellOptions
from tests.attacks.attack import LIMITS
from tests.cell import open_shared_state, running_cell, running_module

PROFILE = "attacked"
_WORKER = "runtime.worker.zygote"
_STANDBYS = 8


@dataclass(frozen=True, kw_only=True)
class Target:
    """A running cell and the site its programs may fetch from."""

    cell: Cell
    site: str

    @property
    def gateway(self) -> psutil.Process:
        return psutil.Process(self.cell.pids["gateway"])

    @property
    def egress(self) -> psutil.Process:
        return psutil.Process(self.cell.pids["egress"])

    def workers(self) -> dict[int, psutil.Process]:
        """Zygote and workers by process id, the living ones."""
        family = self.gateway.children(recursive=True)
        return {process.pid: process for process in family if _is_worker(process)}

    def resident_bytes(self) -> int:
        """Of gateway, zygote and workers; shared pages are counted once where the kernel lets them be read."""
        return sum(_pss(process) for process in (self.gateway, *self.workers().values()))

    def descriptors(self) -> int:
        """Open in the gateway."""
        return self.gateway.num_fds()


def _is_worker(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() != psutil.STATUS_ZOMBIE and _WORKER in " ".join(process.cmdline())
    return False


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


@contextlib.contextmanager
def running_target(directory: Path) -> Iterator[Target]:
    """A cell with one shared profile of tight limits, and the demo site."""
    with running_module("tests.demo.site") as url:
        port = urlsplit(url).port
        profiles = directory / "profiles"
        profiles.mkdir()
        profile = {
            "name": PROFILE,
            "version": 1,
            "isolation": "shared",
            "languages": ["javascript", "python"],
            "environments": ["dev"],
            "limits": {**LIMITS, "cpu_ms": 5_000, "active_ms": 20_000, "wall_ms": 20_000, "memory_bytes": 96 << 20},
            "egress": {
                "rules": [
                    {
                        "name": "site",
                        "hosts": ["site.test.internal"],
                        "ports": [port],
                        "schemes": ["http"],
                        "methods": ["GET", "POST"],
                        "paths": ["/rates.json", "/echo", "/silent", "/large/*"],
                        "networks": ["127.0.0.1/32"],
                    }
                ]
            },
        }
        (profiles / "attacked.yaml").write_text(yaml.safe_dump(profile))
        config = directory / "lockgate.yaml"
        config.write_text(yaml.safe_dump({"profiles": ["profiles"], "hosts": {"site.test.internal": "127.0.0.1"}}))
        options = CellOptions(state=open_shared_state(directory / "state"), config_file=config, any_port=True)
        with running_cell(options) as cell:
            yield Target(cell=cell, site=url.replace("127.0.0.1", "site.test.internal"))
