"""Checking arguments against a schema, for errors a model can act on.

Structural on purpose: types, enums, required and unknown names, bounds. `pattern` and `format` are left to
the upstream, because a hostile pattern would stop the gateway. `oneOf` counts as `anyOf`: documents lie.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from runtime.portal.schema import (
    ReferenceProblem,
    Shape,
    all_properties,
    branches,
    properties_of,
    required_of,
    types_of,
)

# A check that would cost more is given up and the value passed on; the upstream has the last word anyway.
MAX_STEPS: Final = 20_000
MAX_DEPTH: Final = 64
_SHOWN = 60


@dataclass(frozen=True, kw_only=True, slots=True)
class ArgumentProblem:
    """`path` is how the program would write it (`body.labels[0]`), empty for the arguments as a whole."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def check(shape: Shape, value: Any) -> list[ArgumentProblem]:
    """What is wrong with `value`, at most a handful of problems; empty if nothing is."""
    checker = _Checker(steps=MAX_STEPS)
    return checker.check(shape, value, "", 0)[:5]


class _SpentError(Exception):
    """The budget of a check is used up."""


@dataclass(kw_only=True, slots=True)
class _Checker:
    steps: int

    def check(self, shape: Shape, value: Any, path: str, depth: int) -> list[ArgumentProblem]:
        try:
            return self._check(shape, value, path, depth)
        except (_SpentError, ReferenceProblem):
            return []

    def _check(self, shape: Shape, value: Any, path: str, depth: int) -> list[ArgumentProblem]:
        self.steps -= 1
        if self.steps < 0 or depth > MAX_DEPTH:
            raise _SpentError
        shape, _ = shape.resolved()
        schema = shape.schema
        if schema is False:
            return [_problem(path, "no value is allowed here")]
        if not isinstance(schema, Mapping) or (value is None and schema.get("nullable") is True):
            return []
        if (problem := _type_problem(schema, value, path) or _value_problem(schema, value, path)) is not None:
            return [problem]
        problems = self._parts(shape, schema, value, path, depth)
        return problems or self._combined(shape, schema, value, path, depth)

    def _parts(
        self, shape: Shape, schema: Mapping[str, Any], value: Any, path: str, depth: int
    ) -> list[ArgumentProblem]:
        if isinstance(value, dict):
            return self._object(shape, schema, value, path, depth)
        if isinstance(value, list):
            return self._array(shape, schema, value, path, depth)
        return []

    def _object(
        self, shape: Shape, schema: Mapping[str, Any], value: dict[str, Any], path: str, depth: int
    ) -> list[ArgumentProblem]:
        properties = properties_of(schema)
        problems = [
            _problem(_join(path, name), f"is required{_expectation(shape, properties.get(name))}")
            for name in required_of(schema)
            if name not in value and not _is_told_back(properties.get(name))
        ]
        extra = schema.get("additionalProperties", True)
        for name, member in value.items():
            if name in properties:
                problems += self._check(shape.at(properties[name]), member, _join(path, name), depth + 1)
            elif extra is False and "patternProperties" not in schema:
                problems.append(_problem(_join(path, name), _unknown(name, value, properties, shape)))
            elif isinstance(extra, Mapping):
                problems += self._check(shape.at(extra), member, _join(path, name), depth + 1)
        return problems

    def _array(
        self, shape: Shape, schema: Mapping[str, Any], value: list[Any], path: str, depth: int
    ) -> list[ArgumentProblem]:
        tuple_items = branches(schema, "prefixItems")
        rest = schema.get("items", True)
        problems: list[ArgumentProblem] = []
        for index, member in enumerate(value):
            item = tuple_items[index] if index < len(tuple_items) else rest
            problems += self._check(shape.at(item), member, f"{path}[{index}]", depth + 1)
            if len(problems) > 5:  # noqa: PLR2004 - enough to act on
                break
        return problems

    def _combined(
        self, shape: Shape, schema: Mapping[str, Any], value: Any, path: str, depth: int
    ) -> list[ArgumentProblem]:
        for branch in branches(schema, "allOf"):
            if problems := self._check(shape.at(branch), value, path, depth + 1):
                return problems
        for key in ("anyOf", "oneOf"):
            if options := branches(schema, key):
                failed = [self._check(shape.at(option), value, path, depth + 1) for option in options]
                if all(failed):
                    return _closest(shape, options, failed, value, path)
        return []


def _closest(
    shape: Shape, options: list[Any], failed: list[list[ArgumentProblem]], value: Any, path: str
) -> list[ArgumentProblem]:
    """The complaint of the option the value was most likely meant for."""
    deeper = [problems for problems in failed if problems[0].path != path]
    if len(deeper) == 1:
        return deeper[0]
    expected = " or ".join(dict.fromkeys(describe(shape.at(option)) for option in options[:8]))
    return [_problem(path, f"expected {expected}, not {_shown(value)}")]


def describe(shape: Shape) -> str:
    """A few words for what a shape allows: `a whole number`, `"open" or "closed"`, `an object with title`."""
    try:
        shape, _ = shape.resolved()
    except ReferenceProblem:
        return "any value"
    schema = shape.schema
    if not isinstance(schema, Mapping):
        return "any value"
    if isinstance(values := schema.get("enum"), list) and values:
        return " or ".join(_shown(value) for value in values[:12])
    if "const" in schema:
        return _shown(schema["const"])
    types = types_of(schema)
    if not types:
        return "an object" if "properties" in schema else "another value"
    words = [_TYPES.get(name, name) for name in types]
    if "object" in types and (needed := [name for name, _, required in all_properties(shape) if required]):
        words[types.index("object")] = f"an object with {', '.join(needed[:8])}"
    return " or ".join(words)


_TYPES: Final = {
    "string": "a string",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _type_problem(schema: Mapping[str, Any], value: Any, path: str) -> ArgumentProblem | None:
    types = types_of(schema)
    known = [name for name in types if name in _TYPES]
    if not known or any(_is(value, name) for name in known):
        return None
    expected = " or ".join(_TYPES[name] for name in known)
    return _problem(path, f"expected {expected}, not {_shown(value)}")


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: dict[str, type | tuple[type, ...]] = {
        "string": str, "number": (int, float), "array": list, "object": dict, "null": type(None)
    }  # fmt: skip
    return name in kinds and isinstance(value, kinds[name])


def _value_problem(schema: Mapping[str, Any], value: Any, path: str) -> ArgumentProblem | None:
    allowed = schema.get("enum")
    if isinstance(allowed, list) and not any(_same(value, each) for each in allowed):
        wanted = " or ".join(_shown(each) for each in allowed[:20]) or "no value at all"
        return _problem(path, f"expected {wanted}, not {_shown(value)}")
    if "const" in schema and not _same(value, schema["const"]):
        return _problem(path, f"expected {_shown(schema['const'])}, not {_shown(value)}")
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _range_problem(schema, value, path)
    if isinstance(value, str):
        return _length_problem(schema, len(value), ("minLength", "maxLength"), "characters", path)
    if isinstance(value, list):
        return _length_problem(schema, len(value), ("minItems", "maxItems"), "items", path)
    return None


def _range_problem(schema: Mapping[str, Any], value: float, path: str) -> ArgumentProblem | None:
    low, high = _number(schema, "minimum"), _number(schema, "maximum")
    above, below = _number(schema, "exclusiveMinimum"), _number(schema, "exclusiveMaximum")
    # OpenAPI 3.0 says `exclusiveMinimum: true` beside `minimum`.
    if schema.get("exclusiveMinimum") is True:
        low, above = None, low
    if schema.get("exclusiveMaximum") is True:
        high, below = None, high
    if (low is not None and value < low) or (above is not None and value <= above):
        return _problem(path, f"expected at least {low if low is not None else above}, not {_shown(value)}")
    if (high is not None and value > high) or (below is not None and value >= below):
        return _problem(path, f"expected at most {high if high is not None else below}, not {_shown(value)}")
    return None


def _length_problem(
    schema: Mapping[str, Any], length: int, keys: tuple[str, str], unit: str, path: str
) -> ArgumentProblem | None:
    least, most = _number(schema, keys[0]), _number(schema, keys[1])
    if least is not None and length < least:
        return _problem(path, f"expected at least {least} {unit}, not {length}")
    if most is not None and length > most:
        return _problem(path, f"expected at most {most} {unit}, not {length}")
    return None


def _number(schema: Mapping[str, Any], key: str) -> float | None:
    value = schema.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, bool) or isinstance(other, bool):
        return value is other
    return bool(value == other)


def _is_told_back(schema: Any) -> bool:
    """Read-only: what is required of it is required of answers alone (OpenAPI 3.0, 4.7.24.2)."""
    return isinstance(schema, Mapping) and schema.get("readOnly") is True


def _expectation(shape: Shape, schema: Any) -> str:
    return "" if schema is None else f" ({describe(shape.at(schema))})"


def _unknown(name: str, value: dict[str, Any], properties: dict[str, Any], shape: Shape) -> str:
    """For a name that is not declared: where it may belong, or which names there are."""
    for outer, schema in properties.items():
        if outer not in value and any(inner == name for inner, _, _ in all_properties(shape.at(schema))):
            return f"is not an argument; it belongs inside {outer}: {{{outer}: {{{name}: ...}}}}"
    if not properties:
        return "is not an argument; this takes none"
    return f"is not an argument; there are {', '.join(list(properties)[:30])}"


def _problem(path: str, message: str) -> ArgumentProblem:
    return ArgumentProblem(path=path, message=message)


def _join(path: str, name: str) -> str:
    short = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    return f"{path}.{short}" if path else short


def _shown(value: Any) -> str:
    """A value for a message: JSON, shortened."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    written = json.dumps(value, ensure_ascii=False, default=str)
    text = "".join(
        each if each.isprintable() else json.dumps(each).strip('"').replace("\x7f", "\\u007f") for each in written
    )
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
