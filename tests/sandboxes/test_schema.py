"""The JSON Schemas for editors: current, and agreeing with the models on the shipped files."""

import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

import sandboxes
from sandboxes.json_schema import SIZE_PATTERN
from sandboxes.profile_file import SHIPPED
from sandboxes.schema import SCHEMAS, render

PACKAGE = Path(sandboxes.__file__).parent


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_file_is_current(name: str) -> None:
    model: type[BaseModel] = SCHEMAS[name]
    text = (PACKAGE / name).read_text(encoding="utf-8")
    assert text == render(model), "run python -m sandboxes.schema"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_reference_leads_somewhere(name: str) -> None:
    schema = json.loads((PACKAGE / name).read_text(encoding="utf-8"))
    references = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema)))
    assert references <= set(schema["$defs"])
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_editors_accept_sizes_with_units() -> None:
    schema = json.loads((PACKAGE / "profile.schema.json").read_text(encoding="utf-8"))
    memory = schema["$defs"]["Limits"]["properties"]["memory_bytes"]
    assert {"type": "string", "pattern": SIZE_PATTERN} in memory["anyOf"]
    assert re.fullmatch(SIZE_PATTERN, "64MiB")
    assert not re.fullmatch(SIZE_PATTERN, "64 megs")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_profile_tells_editors_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../profile.schema.json"
    assert (path.parent / "../profile.schema.json").resolve() == PACKAGE / "profile.schema.json"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_profile_is_called_like_its_file_and_commented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert f"\nname: {path.stem}\n" in text
    assert text.splitlines()[1:3] != []
    assert sum(line.lstrip().startswith("#") for line in text.splitlines()) >= 3
