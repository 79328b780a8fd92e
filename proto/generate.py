"""Generate `runtime/rpc` from `proto/`: `python proto/generate.py [OUT]`. The result is checked in."""

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "lockgate/v1"
HEADER = '"""Generated from proto/ by proto/generate.py. Do not edit."""\n'


def generate(target: Path) -> None:
    """Write the generated modules into `target`, with imports rewritten to live in `runtime.rpc`."""
    protos = sorted((ROOT / "proto" / PACKAGE).glob("*.proto"))
    well_known = str(resources.files("grpc_tools") / "_proto")
    with tempfile.TemporaryDirectory() as scratch:
        arguments = [f"--{kind}_out={scratch}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
        code = protoc.main(
            ["protoc", f"-I{ROOT / 'proto'}", f"-I{well_known}", *arguments, *[str(path) for path in protos]]
        )
        if code:
            raise SystemExit(code)
        target.mkdir(parents=True, exist_ok=True)
        (target / "__init__.py").write_text(HEADER)
        for path in sorted(Path(scratch, PACKAGE).iterdir()):
            text = path.read_text().replace("from lockgate.v1 import", "from runtime.rpc import")
            text = text.replace("lockgate.v1.", "runtime.rpc.") if path.suffix == ".pyi" else text
            (target / path.name).write_text(text)


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "runtime" / "rpc")
