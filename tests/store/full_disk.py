"""A process with a small disk of its own, which it fills: what the store does then, and once there is room again.

`python -m tests.store.full_disk DIRECTORY`: a tmpfs is mounted there, in a mount namespace of this process.
"""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from runtime.store.changes import PutExecution
from runtime.store.errors import StoreUnavailableError
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from tests.store.examples import execution

_SIZE = 4 << 20
_MOST = 2_000


def mount(directory: Path) -> None:
    """As root in a mount namespace; anybody else needs a user namespace about it."""
    user, group = os.geteuid(), os.getegid()
    os.unshare(os.CLONE_NEWNS | (os.CLONE_NEWUSER if user else 0))
    if user:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1", encoding="ascii")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "tmpfs", str(directory)], check=True)


async def fill(directory: Path) -> dict[str, object]:
    filler = directory / "filler"
    filler.write_bytes(b"x" * (_SIZE // 2))
    store = SqlStore(SqliteDatabase(directory / "store.sqlite"))
    await store.open()
    written: list[str] = []
    reason = ""
    for _ in range(_MOST):
        row = execution(request="x" * 10_000)
        try:
            await store.write(PutExecution(row))
        except StoreUnavailableError as error:
            reason = str(error)
            break
        written.append(row.id)
    refused_at_once = ""
    try:
        await store.write(PutExecution(execution()))
    except StoreUnavailableError as error:
        refused_at_once = str(error)
    kept = sum([await store.execution(name) is not None for name in written])
    later = execution()
    store.write_soon(PutExecution(later))
    filler.unlink()
    for _ in range(200):
        if store.state.ok:
            break
        await asyncio.sleep(0.05)
    await store.flush()
    again = await store.execution(later.id) is not None
    await store.close()
    return {
        "reason": reason,
        "refused_at_once": refused_at_once,
        "written": len(written),
        "kept": kept,
        "again": again,
    }


if __name__ == "__main__":
    mount(Path(sys.argv[1]))
    sys.stdout.write(json.dumps(asyncio.run(fill(Path(sys.argv[1])))))
