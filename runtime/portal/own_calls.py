"""What programs ask of Lockgate itself: `emit`, `store` and `results`, and the catalog (`catalog_calls`).

They reach the host as calls of the tools `lockgate.*`, a name no upstream can have.
"""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

from runtime.execution.cut import json_text
from runtime.execution.file import MOST_NAME
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.execution.pointer import NoSuchPartError, part_at, range_of
from runtime.execution.results import MemoryResults, Results
from runtime.execution.session_store import SessionStores, StoreBoundError
from runtime.portal.catalog_calls import PREFIX, CatalogCalls
from runtime.portal.offers import Offer
from runtime.store.errors import StoreUnavailableError
from sandboxes.bounded_json import MOST_ANSWER_VALUES, JsonBoundError, loads

_TYPE: Final = re.compile(
    r"[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,63}(?:;[ -~]{0,100})?", re.IGNORECASE
)
_METHODS: Final = ("emit", "result", "store_delete", "store_get", "store_keys", "store_set")


class OwnCalls:
    """Answers what a program asks of its own execution, session and owner."""

    def __init__(
        self, catalog: CatalogCalls, results: Results | None = None, stores: SessionStores | None = None
    ) -> None:
        self._catalog = catalog
        self._results = results or MemoryResults()
        self._stores = stores or SessionStores()

    async def call(
        self, name: str, arguments: Mapping[str, Any], context: CallContext, offer: Offer | None = None
    ) -> Any:
        """The answer as JSON. Raises HostCallError."""
        method = name.removeprefix(PREFIX)
        if method not in _METHODS:
            return await self._catalog.call(name, arguments, context, offer)
        if method == "emit":
            return _emit(arguments, context)
        try:
            if method == "result":
                await self._results.ready()
                return self._result(arguments, context)
            await self._stores.ready()
            return self._store(method, arguments, context)
        except StoreUnavailableError as error:
            said = f"{'results' if method == 'result' else 'store'}: cannot be read now: {error}"
            raise HostCallError("unavailable", said, retryable=True, tool=name) from None
        except StoreBoundError as error:
            details = {"limit": error.limit, "value": error.value}
            raise HostCallError("limit", f"store: {error}", tool=name, details=details) from None

    def _store(self, method: str, arguments: Mapping[str, Any], context: CallContext) -> Any:
        if not context.store:
            message = "store: this program belongs to no session; its client gives one as session_id"
            raise HostCallError("invalid_argument", message, tool=PREFIX + method)
        tenant, session = context.tenant, context.store
        if method == "store_keys":
            return self._stores.keys(tenant, session)
        key = _text(arguments, method, "key")
        if method == "store_get":
            value = self._stores.get(tenant, session, key)
            return {"found": False} if value is None else {"found": True, "value": json.loads(value)}
        if method == "store_delete":
            return self._stores.delete(tenant, session, key)
        self._stores.set(tenant, session, key, json_text(arguments.get("value")), context.limits)
        return None

    def _result(self, arguments: Mapping[str, Any], context: CallContext) -> Any:
        handle, path = _text(arguments, "result", "handle"), _text(arguments, "result", "path", "")
        kept = self._results.get(context.tenant, handle)
        if kept is None:
            message = f'results: there is no result "{handle[:80]}", or it is forgotten by now'
            raise HostCallError("not_found", message, tool="lockgate.result")
        try:
            value = part_at(loads(kept.text, most_values=MOST_ANSWER_VALUES), path)
        except NoSuchPartError as error:
            raise HostCallError("not_found", f"results: {error}", tool="lockgate.result") from None
        except JsonBoundError as error:
            raise HostCallError("limit", f"results: the result is {error}", tool="lockgate.result") from None
        offset, limit = _number(arguments, "offset"), _number(arguments, "limit")
        return range_of(value, offset, limit)[0] if offset or limit else value


def _emit(arguments: Mapping[str, Any], context: CallContext) -> dict[str, Any]:
    name = _text(arguments, "emit", "name")
    if not name.strip() or len(name) > MOST_NAME or not name.isprintable():
        raise _wrong("emit", f"name: expected 1 to {MOST_NAME} printable characters")
    kind = _text(arguments, "emit", "type", "application/octet-stream")
    if _TYPE.fullmatch(kind) is None:
        raise _wrong("emit", f'type: expected a media type such as "image/png", not "{kind[:60]}"')
    data = _bytes(arguments)
    digest = hashlib.sha256(data).hexdigest()
    context.emit(name, kind, data, digest)
    return {"name": name, "type": kind, "bytes": len(data), "sha256": digest}


def _bytes(arguments: Mapping[str, Any]) -> bytes:
    if "text" in arguments:
        return _text(arguments, "emit", "text").encode(errors="replace")
    try:
        return base64.b64decode(_text(arguments, "emit", "base64"), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("emit", "base64: is not base64") from None


def _text(arguments: Mapping[str, Any], method: str, key: str, default: str | None = None) -> str:
    value = arguments.get(key, default)
    if not isinstance(value, str):
        raise _wrong(method, f"{key}: expected a string")
    return value


def _number(arguments: Mapping[str, Any], key: str) -> int:
    value = arguments.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _wrong("result", f"{key}: expected a whole number, 0 or more")
    return value


def _wrong(method: str, message: str) -> HostCallError:
    said = {"emit": "emit", "result": "results"}.get(method, "store")
    return HostCallError("invalid_argument", f"{said}: {message}", tool=PREFIX + method)
