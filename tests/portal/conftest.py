"""GitHub's real document, once per test run."""

from pathlib import Path

import pytest

from runtime.portal.catalog import Catalog
from runtime.portal.openapi import OpenApiTools, load_openapi
from tests.fixtures.fetch_documents import document


@pytest.fixture(scope="session")
def github_file() -> Path:
    return document("github")


@pytest.fixture(scope="session")
def github(github_file: Path) -> OpenApiTools:
    return load_openapi("github", github_file.read_bytes(), github_file.name)


@pytest.fixture(scope="session")
def github_catalog(github: OpenApiTools) -> Catalog:
    return Catalog().with_upstream("github", github.tools, github.skipped)
