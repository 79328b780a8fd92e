"""What a decision is bound to, as one digest: SHA-256 over RFC 8785 (JSON Canonicalization Scheme)."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import rfc8785

_VERSION: Final = "lockgate approval 1"
_EXACT: Final = 2**53
_NUMBER: Final = "$integer"


@dataclass(frozen=True, kw_only=True, slots=True)
class Binding:
    """All of it was shown to who decides; if any of it is different, the decision is void.

    `schema` is the digest of the tool's declaration, `target` where the call goes, `policy` the profile's digest.
    """

    execution: str
    call: int
    actor: str
    tool: str
    schema: str
    target: str
    arguments: Mapping[str, Any]
    policy: str


def binding_digest(binding: Binding) -> str:
    """`sha256:` and 64 hex digits. Raises ValueError for what no JSON can hold: NaN, half a surrogate pair."""
    fields = {**asdict(binding), "arguments": _exact(dict(binding.arguments)), "version": _VERSION}
    return "sha256:" + hashlib.sha256(rfc8785.dumps(fields)).hexdigest()


def _exact(value: Any) -> Any:
    """RFC 8785 has no whole numbers beyond 2^53; they become objects that no other value becomes."""
    match value:
        case bool():
            return value
        case int() if not -_EXACT < value < _EXACT:
            return {_NUMBER: str(value)}
        case list() | tuple():
            return [_exact(each) for each in value]
        case dict():
            return {f"${key}" if key.startswith("$") else key: _exact(each) for key, each in value.items()}
    return value
