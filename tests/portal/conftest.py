"""GitHub's real document, once per test run."""

import importlib.util
import sys
from pathlib import Path

import pytest

from runtime.portal.catalog import Catalog
from runtime.portal.openapi import OpenApiTools, load_openapi


def _fetch() -> Path:
    place = Path(__file__).parents[1] / "fixtures" / "fetch_documents.py"
    spec = importlib.util.spec_from_file_location("fetch_documents", place)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules.setdefault("fetch_documents", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return Path(module.document("github"))


@pytest.fixture(scope="session")
def github_file() -> Path:
    return _fetch()


@pytest.fixture(scope="session")
def github(github_file: Path) -> OpenApiTools:
    return load_openapi("github", github_file.read_bytes(), github_file.name)


@pytest.fixture(scope="session")
def github_catalog(github: OpenApiTools) -> Catalog:
    return Catalog().with_upstream("github", github.tools, github.skipped)
