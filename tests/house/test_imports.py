"""Imports run one way: the contracts of pyproject.toml, and what is imported is declared."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ["sandboxes", "egress", "runtime"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# Parts of a declared distribution that are packaged apart, in step with it.
COMPANIONS = {"pydantic-core": "pydantic", "mcp-types": "mcp"}
# Imported inside functions, when a configuration uses them.
LOADED_WHEN_USED = ("vault", "aws", "onepassword")
# Run inside the guest or by the image build alone, from what the `build` extra brings.
BUILD_TIME = ROOT / "sandboxes" / "images"


def names(requirements: list[str]) -> set[str]:
    found = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {match[0].lower().replace("_", "-") for match in found if match}


def test_the_import_contracts_hold() -> None:
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    result = subprocess.run([*command, "--no-logo"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {module.partition(".")[0] for module in found}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_distribution_imported_is_declared(package: str) -> None:
    declared = names(PROJECT["dependencies"]).union(
        *(names(PROJECT["optional-dependencies"][extra]) for extra in LOADED_WHEN_USED)
    )
    distributions = packages_distributions()
    missing: dict[str, str] = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        if path.is_relative_to(BUILD_TIME):
            continue
        for module in imported(path) - set(sys.stdlib_module_names) - {*PACKAGES, "google"}:
            owners = {owner.lower().replace("_", "-") for owner in distributions.get(module, [module])}
            if not {COMPANIONS.get(owner, owner) for owner in owners} & declared:
                missing[module] = str(path.relative_to(ROOT))
    assert missing == {}


def test_every_dependency_is_explained() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    explained = {name.lower() for name in re.findall(r"^\| `([A-Za-z0-9._-]+)`", text, re.MULTILINE)}
    extras = PROJECT["optional-dependencies"]
    declared = names(PROJECT["dependencies"]).union(*map(names, extras.values())) - {"lockgate"}
    stubs = {name for name in declared if name.startswith("types-")}
    assert declared - stubs == explained


def test_every_dependency_has_a_locked_version_with_hashes() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==\S+ \\\n    --hash=sha256:", text, re.MULTILINE))
    extras = PROJECT["optional-dependencies"]
    wanted = names(PROJECT["dependencies"]).union(*map(names, extras.values())) - {"lockgate"}
    assert wanted <= locked
