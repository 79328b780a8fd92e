"""The JSON Schema of a model, for editors and for error messages."""

from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from sandboxes.limits import parse_size

SIZE_PATTERN = r"^\s*[0-9]+\s*(B|KB|MB|GB|KiB|MiB|GiB)?\s*$"


class _Generator(GenerateJsonSchema):
    """Adds what a validator in front of a type accepts beside the type: sizes such as "64MiB"."""

    def function_before_schema(self, schema: core_schema.BeforeValidatorFunctionSchema) -> JsonSchemaValue:
        inner = super().function_before_schema(schema)
        if schema["function"]["function"] is not parse_size:
            return inner
        return {"anyOf": [inner, {"type": "string", "pattern": SIZE_PATTERN}]}


@cache
def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """JSON Schema 2020-12 of what `model` accepts. The same object every time: not to be changed."""
    schema = model.model_json_schema(schema_generator=_Generator)
    return {"$schema": _Generator.schema_dialect, **schema}
