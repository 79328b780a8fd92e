"""`codemode.<upstream>.<tool>(...)`: calls of tools, awaitable and submitted at once."""

import asyncio
import json
import keyword
from collections.abc import AsyncIterator, Callable
from typing import Any

from lockgate.encode import size, to_json
from lockgate.host import TOOL, calls
from lockgate.limits import limits
from lockgate.loop import loop
from lockgate.text import has_surrogates, repaired

_MAX_NAME = 512


class ToolError(Exception):
    """A host call that failed.

    `code`: not_found, invalid_argument, denied, upstream_error, unavailable, timeout, limit, cancelled or internal;
    `status`: the HTTP status, if there was one; `retryable`: whether the same call may succeed later;
    `tool`: its full name; `details`: whatever else the upstream said; `retry_after`: seconds, where it gave some.
    """

    def __init__(  # noqa: PLR0913 (the error object's fields)
        self,
        message: str,
        *,
        code: str = "internal",
        status: int | None = None,
        retryable: bool = False,
        tool: str | None = None,
        details: Any = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.status = status
        self.retryable = retryable
        self.tool = tool
        self.details = details
        self.retry_after = retry_after

    def __str__(self) -> str:
        status = f", status {self.status}" if self.status is not None else ""
        tool = self.tool or "host call"
        # The host often names the tool itself.
        named = self.message if self.message.startswith(f"{tool}: ") else f"{tool}: {self.message}"
        return f"{named} ({self.code}{status})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """The error as the host sent it."""
        fields = {
            "code": self.code,
            "message": self.message,
            "status": self.status,
            "retryable": self.retryable,
            "tool": self.tool,
            "details": self.details,
        }
        return fields if self.retry_after is None else {**fields, "retry_after": self.retry_after}


class FetchError(ToolError, OSError):
    """A fetch that got no response: denied, unreachable, timed out."""


def _rebuild(kind: type[ToolError], fields: dict[str, Any]) -> ToolError:
    return kind(fields.pop("message"), **fields)


def error_from(kind: type[ToolError], payload: str, name: str) -> ToolError:
    """The exception for a host call's error object."""
    try:
        fields = json.loads(payload)
        known = {key: fields[key] for key in ("code", "status", "retryable", "details", "retry_after") if key in fields}
        return kind(str(fields.get("message", "failed")), tool=fields.get("tool") or name, **known)
    except (ValueError, TypeError, AttributeError):
        return kind("the host's error could not be read", tool=name)


class Call(asyncio.Future):
    """A call on its way: await it, or hand it to asyncio.gather, wait, create_task."""

    def __init__(self, name: str) -> None:
        super().__init__(loop=loop)
        self._name = name

    def __repr__(self) -> str:
        return f"<un-awaited call of {self._name}: use await>"

    __str__ = __repr__

    def __await__(self) -> Any:
        unawaited.pop(id(self), None)
        return super().__await__()

    def add_done_callback(self, callback: Callable[..., Any], **options: Any) -> None:
        """Somebody waits for it."""
        unawaited.pop(id(self), None)
        super().add_done_callback(callback, **options)

    def result(self) -> Any:
        """The result; InvalidStateError while there is none."""
        unawaited.pop(id(self), None)
        return super().result()

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a call of {self._name} has no {name!r}: await it first, (await ...).{name}")

    def __getitem__(self, key: Any) -> Any:
        raise TypeError(f"a call of {self._name} is no data yet: await it first, (await ...)[{key!r}]")

    def __iter__(self) -> Any:
        raise TypeError(f"a call of {self._name} cannot be iterated: await it first")

    def __len__(self) -> int:
        raise TypeError(f"a call of {self._name} has no length: await it first")

    def __bool__(self) -> bool:
        return True


# Calls nobody has waited for yet; the run's end names them.
unawaited: dict[int, Call] = {}


def begin(kind: int, name: str, arguments: Any, result: Callable[[Any], Any], failure: type[ToolError]) -> Call:
    """Submit a host call; `result` turns its JSON value into what the program gets."""
    if len(name) > _MAX_NAME:
        raise failure(f"a tool's name has at most {_MAX_NAME} characters", code="invalid_argument", tool=name[:80])
    name = repaired(name) if has_surrogates(name) else name
    call = Call(name)

    def deliver(ok: bool, payload: str) -> None:  # noqa: FBT001 (the event's flag)
        if call.done():
            return
        if not ok:
            call.set_exception(error_from(failure, payload, name))
            return
        try:
            call.set_result(result(json.loads(payload)))
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this call's)
            call.set_exception(error)

    calls.submit(kind, name if kind == TOOL else "", payload_of(name, arguments, failure), deliver)
    unawaited[id(call)] = call
    return call


def payload_of(name: str, arguments: Any, failure: type[ToolError] = ToolError) -> str:
    """The arguments as JSON text within `max_call_bytes`."""
    payload = to_json(arguments, "arguments")
    length = size(payload)
    if length > limits.max_call_bytes:
        raise failure(
            f"arguments of {length} bytes are above the limit of {limits.max_call_bytes} bytes a call",
            code="limit",
            tool=name,
            details={"limit": "call_bytes", "value": limits.max_call_bytes, "actual": length},
        )
    return payload


class Tool:
    """One tool: call it with keyword arguments and await the result."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *positional: Any, **arguments: Any) -> Call:
        """Submit a call at once."""
        if positional:
            arguments = _merged(self._name, positional, arguments)
        elif any(name.endswith("_") for name in arguments):
            arguments = {_unescaped(name): value for name, value in arguments.items()}
        return begin(TOOL, self._name, arguments, _same, ToolError)

    def response(self, *positional: Any, **arguments: Any) -> Call:
        """The same call, answered with what came beside the value: data, status, headers, links, next."""
        return Tool(f"{self._name}.response")(*positional, **arguments)

    async def pages(self, *positional: Any, **arguments: Any) -> AsyncIterator[Any]:
        """Each page's value, one call after the other; the host tells the arguments of the next."""
        asked: dict[str, Any] | None = None
        answer = await self.response(*positional, **arguments)
        yield answer["data"]
        while (following := answer["next"]) is not None and following != asked:
            asked = following
            answer = await self.response(asked)
            yield answer["data"]

    def __getattr__(self, name: str) -> "Tool":
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Tool(f"{self._name}.{_unescaped(name)}")

    def __getitem__(self, name: str) -> "Tool":
        return Tool(f"{self._name}.{name}")

    def __await__(self) -> Any:
        raise TypeError(f"{self._name} is a tool; call it: await codemode.{self._name}(...)")

    __iter__ = None

    def __repr__(self) -> str:
        return f"<tool {self._name}: call it and await the result>"


def _same(value: Any) -> Any:
    return value


def _merged(name: str, positional: tuple[Any, ...], arguments: dict[str, Any]) -> dict[str, Any]:
    if len(positional) > 1 or not isinstance(positional[0], dict):
        raise TypeError(
            f"{name} takes keyword arguments (or one dict of them), "
            f"not positional ones: await codemode.{name}(name=value, ...)"
        )
    return {**positional[0], **arguments}


def _unescaped(name: str) -> str:
    """`import_` is `import`: names that are Python keywords are written with an underscore behind."""
    return name[:-1] if name.endswith("_") and keyword.iskeyword(name[:-1]) else name


class Upstream:
    """Tools of one upstream by attribute or by item."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Tool:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Tool(f"{self._name}.{_unescaped(name)}")

    def __getitem__(self, name: str) -> Tool:
        return Tool(f"{self._name}.{name}")

    def __call__(self, *_positional: Any, **_arguments: Any) -> Any:
        """Refuse: an upstream is no tool."""
        raise TypeError(f"{self._name} is an upstream; call one of its tools: await codemode.{self._name}.<tool>(...)")

    __iter__ = None

    def __repr__(self) -> str:
        return f"<upstream {self._name}: await codemode.{self._name}.<tool>(...)>"


class Codemode:
    """`codemode`: upstreams by attribute or by item."""

    ToolError = ToolError
    __name__ = "codemode"

    def tools(self) -> Call:
        """Every tool of the catalog: name, upstream, purpose, read_only, deprecated."""
        return begin(TOOL, "lockgate.tools", {}, _same, ToolError)

    def search(self, query: str, **options: Any) -> Call:
        """The best tools for some words, with signatures; `limit`, `cursor`."""
        return begin(TOOL, "lockgate.search", {"query": query, "language": "python", **options}, _same, ToolError)

    def describe(self, names: str | list[str], **options: Any) -> Call:
        """Declarations of tools and types, as text; `budget` in tokens."""
        return begin(TOOL, "lockgate.describe", {"names": names, "language": "python", **options}, _same, ToolError)

    def __getattr__(self, name: str) -> Upstream:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Upstream(_unescaped(name))

    def __getitem__(self, name: str) -> Any:
        upstream, dot, tool = name.partition(".")
        return Upstream(upstream)[tool] if dot else Upstream(upstream)

    __iter__ = None

    def __repr__(self) -> str:
        return "<codemode: await codemode.<upstream>.<tool>(name=value, ...)>"


codemode = Codemode()
