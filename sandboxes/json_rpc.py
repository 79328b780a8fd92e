"""JSON-RPC 2.0 requests in a body: which methods they call, and what a rule says of that."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from .model import FrozenModel
from .strict_json import parse_strict

MAX_BATCH = 100
_REQUEST = {"jsonrpc", "method", "params", "id"}
_RESPONSE = {"jsonrpc", "result", "error", "id"}


def check_name_pattern(pattern: str) -> str:
    """`tools/call` exactly, `tools/*` everything that begins so, `*` everything."""
    if "*" in pattern[:-1] or not pattern.isprintable():
        raise ValueError(f'"{pattern}": "*" stands at the end only, for whatever follows')
    return pattern


NamePattern = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(check_name_pattern)]


def name_matches(pattern: str, name: str) -> bool:
    """Whether `name` is what the pattern names."""
    return pattern == name or (pattern.endswith("*") and name.startswith(pattern[:-1]))


@dataclass(frozen=True, slots=True)
class Call:
    """One element of a body: a request or a notification; `method` None: a response with this `result`."""

    method: str | None
    params: Any = None
    result: Any = None


class JsonRpcRule(FrozenModel):
    """Every element of the body must call one of these methods."""

    methods: tuple[NamePattern, ...] = Field(min_length=1, description='Exact, or with "*" at the end.')

    def fault(self, call: Call) -> str | None:
        """Why one element is not allowed, or None."""
        if call.method is None:
            return "is a response, and only calls are allowed"
        if not any(name_matches(pattern, call.method) for pattern in self.methods):
            return f'calls "{call.method[:80]}", which the rule does not name'
        return None


def parse_calls(body: bytes) -> tuple[Call, ...]:
    """The body's elements; a batch has several. Raises ValueError saying what has no reading, or two."""
    value = parse_strict(body)
    elements = value if isinstance(value, list) else [value]
    if not 1 <= len(elements) <= MAX_BATCH:
        raise ValueError(f"a JSON-RPC batch has 1 to {MAX_BATCH} elements")
    return tuple(_call(element) for element in elements)


def first_fault(calls: tuple[Call, ...], fault: Callable[[Call], str | None]) -> str | None:
    """What the first element that is not allowed lacks, and which it is."""
    for number, call in enumerate(calls, 1):
        said = fault(call)
        if said is not None:
            return said if len(calls) == 1 else f"(element {number} of {len(calls)}) {said}"
    return None


def _call(element: Any) -> Call:
    if not isinstance(element, dict) or element.get("jsonrpc") != "2.0":
        raise ValueError('the body is not JSON-RPC: an element is no object with "jsonrpc": "2.0"')
    # Servers that read names without regard to case would find a second method in an unknown one.
    unknown = element.keys() - (_REQUEST if "method" in element else _RESPONSE)
    if unknown:
        raise ValueError("a JSON-RPC element has a member that JSON-RPC 2.0 does not know")
    if "method" not in element:
        return Call(None, result=element.get("result"))
    if not isinstance(element["method"], str):
        raise ValueError("a JSON-RPC method is not a string")  # noqa: TRY004 - what a client sent
    if not isinstance(element.get("params", {}), dict | list):
        raise ValueError("JSON-RPC params are neither an object nor an array")  # noqa: TRY004 - what a client sent
    return Call(element["method"], element.get("params"))
