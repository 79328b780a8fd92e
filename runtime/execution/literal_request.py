"""A host call as what would be sent for it, and what is known of its effect, without sending anything."""

import base64
from dataclasses import dataclass, field
from typing import Any, Literal

from sandboxes.call_facts import Effect


@dataclass(frozen=True, kw_only=True, slots=True)
class LiteralRequest:
    """What would leave, as the gateway makes it; a credential is added later, by the egress proxy.

    `protocol` http: method, URL, headers and body. mcp: `method` is tools/call, `url` the server's (or `stdio:` and the
    upstream's name), `body` the JSON of its params. client: `url` names the calling client's own function. A body that
    is not UTF-8 is base64, and `base64` says so.
    """

    protocol: Literal["http", "mcp", "client"]
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    base64: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Inverse:
    """The call that undoes another. `arguments`: a name to a JSON Pointer into `{arguments, result}` of that call."""

    tool: str
    arguments: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preview:
    """What is known of a call before it is made.

    `tool` is the full name, empty for a fetch; `words` what it does; `target` where to; `schema` the digest of the
    tool's declaration, empty for a fetch; `arguments` as checked, by the names programs use.
    """

    tool: str
    words: str
    request: LiteralRequest
    target: str
    effect: Effect
    schema: str = ""
    inverse: Inverse | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


def body_text(body: bytes | None) -> tuple[str, bool]:
    """A body as text, and whether it had to be made base64."""
    try:
        return (body or b"").decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body or b"").decode(), True
