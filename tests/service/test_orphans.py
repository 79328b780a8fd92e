"""A supervisor that is killed leaves nothing behind, whichever moment of its start it is killed in."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cell import ROOT, open_shared_state


@pytest.mark.parametrize("moment", ["egress", "gateway", "zygote", "worker", "ready"])
def test_a_killed_supervisor_leaves_no_process(tmp_path: Path, moment: str):
    home = tmp_path / "home"
    open_shared_state(home)
    config = tmp_path / "lockgate.yaml"
    config.write_text("listen: {grpc: '127.0.0.1:0', mcp: '127.0.0.1:0'}\n")
    done = subprocess.run(
        [sys.executable, "-m", "tests.service.orphans", str(config), moment],
        check=True,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "LOCKGATE_HOME": str(home)},
        timeout=120,
    )
    assert json.loads(done.stdout) == {"reached": True, "left": []}
