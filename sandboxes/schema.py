"""Writes the JSON Schemas that editors use: `python -m sandboxes.schema`."""

import json
from pathlib import Path

from pydantic import BaseModel

from sandboxes.config import Config
from sandboxes.image import Image
from sandboxes.json_schema import json_schema
from sandboxes.profile import Profile

SCHEMAS: dict[str, type[BaseModel]] = {
    "profile.schema.json": Profile,
    "config.schema.json": Config,
    "image.schema.json": Image,
}
"""File name, beside this module, to the model it describes."""


def render(model: type[BaseModel]) -> str:
    """The text of a model's schema file."""
    return json.dumps(json_schema(model), indent=2) + "\n"


def main() -> None:
    """Write every schema file."""
    for name, model in SCHEMAS.items():
        Path(__file__).with_name(name).write_text(render(model), encoding="utf-8")


if __name__ == "__main__":
    main()
