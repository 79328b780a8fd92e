"""What a gateway loads before it is ready: a module too many is a tenth of a second for everybody who starts it."""

import subprocess
import sys

LATER = {"mcp", "mcp_types", "starlette", "uvicorn", "sqlalchemy", "alembic", "pg8000", "prometheus_client"}


def test_a_start_loads_neither_the_mcp_sdk_nor_a_database_s_tools():
    code = "import sys, runtime.service.gateway, runtime.service.serving; print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    loaded = {name.partition(".")[0] for name in told.stdout.split()}
    assert "grpc" in loaded
    assert not loaded & LATER
