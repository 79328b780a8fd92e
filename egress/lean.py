"""Makes `mitmproxy.addons` importable piece by piece: its `__init__` imports Flask, LDAP and forty addons (15 MB)."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def install() -> None:
    """To be called before anything imports mitmproxy. Does nothing if its addons are imported already."""
    if "mitmproxy.addons" in sys.modules:
        return
    spec = importlib.util.find_spec("mitmproxy")
    if spec is None or spec.origin is None:
        return
    package = ModuleType("mitmproxy.addons")
    package.__path__ = [str(Path(spec.origin).parent / "addons")]
    sys.modules["mitmproxy.addons"] = package
