"""The record of one request at the egress proxy, and its form on disk: OCSF HTTP Activity (class 4002), one JSON line.

Pure. The flat record is what the proxy fills in and tools read; `to_ocsf` and `from_ocsf` are each other's inverse.
Fields that OCSF has no place for are kept under `unmapped`. docs/egress.md has the table.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

OCSF_VERSION: Final = "1.5.0"
HTTP_ACTIVITY: Final = 4002
NETWORK_ACTIVITY: Final = 4
_BASE_EVENT: Final = 0
_PRODUCT: Final = {"name": "Lockgate egress proxy", "vendor_name": "Lockgate"}
_METHODS: Final = {
    "CONNECT": 1, "DELETE": 2, "GET": 3, "HEAD": 4, "OPTIONS": 5, "POST": 6, "PUT": 7, "TRACE": 8,
}  # fmt: skip
_OTHER: Final = 99
_ALLOWED, _BLOCKED, _LOGGED = (1, "Allowed"), (2, "Blocked"), (17, "Logged")
_INFORMATIONAL, _LOW, _HIGH = (1, "Informational"), (2, "Low"), (4, "High")

# Flat field -> where OCSF keeps it. What is not here and not computed goes under `unmapped`.
_PLACES: Final[dict[str, tuple[str, ...]]] = {
    "uid": ("metadata", "uid"),
    "execution": ("metadata", "correlation_uid"),
    "actor": ("actor", "user", "name"),
    "rules": ("policy", "uid"),
    "rule": ("firewall_rule", "name"),
    "code": ("status_code",),
    "reason": ("status_detail",),
    "method": ("http_request", "http_method"),
    "scheme": ("http_request", "url", "scheme"),
    "host": ("http_request", "url", "hostname"),
    "port": ("http_request", "url", "port"),
    "path": ("http_request", "url", "path"),
    "status": ("http_response", "code"),
    "address": ("dst_endpoint", "ip"),
    "tls": ("tls", "version"),
    "bytes_out": ("traffic", "bytes_out"),
    "bytes_in": ("traffic", "bytes_in"),
}
_COMPUTED: Final = frozenset({"time", "event", "allowed", "duration_ms"})


def to_ocsf(record: Mapping[str, Any]) -> dict[str, Any]:
    """A flat record as an OCSF event. Fields that are None are left out."""
    return _http_activity(record) if record.get("event") == "egress" else _base_event(record)


def from_ocsf(event: Mapping[str, Any]) -> dict[str, Any]:
    """The flat record of an event that `to_ocsf` made. Raises KeyError or TypeError for one that it did not make."""
    record: dict[str, Any] = {"time": _text_of(event["time"])} | dict(event.get("unmapped", {}))
    if event["class_uid"] != HTTP_ACTIVITY:
        return record
    record |= {"event": "egress", "allowed": event["action_id"] == 1, "duration_ms": event["duration"]}
    record |= {field: found for field, place in _PLACES.items() if (found := _at(event, place)) is not None}
    query = _at(event, ("http_request", "url", "query_string"))
    if query is not None:
        record["path"] = f"{record['path']}?{query}"
    # What was not known was left out of the event.
    return dict.fromkeys((*_PLACES, "credential", "environment", "hint", "would_deny")) | record


def read_event(line: bytes | str) -> dict[str, Any] | None:
    """The flat record of one line of the event file; None for a line that is none."""
    try:
        return from_ocsf(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _http_activity(record: Mapping[str, Any]) -> dict[str, Any]:
    method = record["method"]
    activity = _METHODS.get(method, _OTHER)
    allowed = bool(record["allowed"])
    succeeded = allowed and record.get("code") == "allowed"
    disposition = _BLOCKED if not allowed else _LOGGED if record.get("would_deny") else _ALLOWED
    severity, severity_name = _INFORMATIONAL if allowed else _LOW
    event: dict[str, Any] = {
        "category_uid": NETWORK_ACTIVITY,
        "category_name": "Network Activity",
        "class_uid": HTTP_ACTIVITY,
        "class_name": "HTTP Activity",
        "activity_id": activity,
        "activity_name": method.capitalize() if activity != _OTHER else method,
        "type_uid": HTTP_ACTIVITY * 100 + activity,
        "time": _milliseconds(record["time"]),
        "duration": record["duration_ms"],
        "severity_id": severity,
        "severity": severity_name,
        "status_id": 1 if succeeded else 2,
        "status": "Success" if succeeded else "Failure",
        "action_id": 1 if allowed else 2,
        "action": "Allowed" if allowed else "Denied",
        "disposition_id": disposition[0],
        "disposition": disposition[1],
        "message": record.get("reason"),
        "metadata": {"version": OCSF_VERSION, "product": _PRODUCT, "profiles": ["host", "security_control"]},
        "dst_endpoint": {"hostname": record.get("host") or "", "port": record.get("port") or 0},
        "unmapped": _unmapped(record),
    }
    for field, place in _PLACES.items():
        _put(event, place, record.get(field))
    _split_query(event)
    return event


def _base_event(record: Mapping[str, Any]) -> dict[str, Any]:
    """What is not a request: a hook that failed, say."""
    return {
        "category_uid": 0,
        "category_name": "Uncategorized",
        "class_uid": _BASE_EVENT,
        "class_name": "Base Event",
        "activity_id": _OTHER,
        "activity_name": str(record.get("event", "other")),
        "type_uid": _BASE_EVENT * 100 + _OTHER,
        "time": _milliseconds(record["time"]),
        "severity_id": _HIGH[0],
        "severity": _HIGH[1],
        "message": "something failed inside the egress proxy, and it denied",
        "metadata": {"version": OCSF_VERSION, "product": _PRODUCT},
        "unmapped": {name: value for name, value in record.items() if name != "time" and value is not None},
    }


def _unmapped(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in record.items()
        if name not in _PLACES and name not in _COMPUTED and value is not None
    }


def _split_query(event: dict[str, Any]) -> None:
    url = event["http_request"].get("url", {})
    path, mark, query = url.get("path", "").partition("?")
    if mark:
        url["path"], url["query_string"] = path, query


def _put(event: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    if value is None:
        return
    for name in place[:-1]:
        event = event.setdefault(name, {})
    event[place[-1]] = value


def _at(event: Mapping[str, Any], place: tuple[str, ...]) -> Any:
    found: Any = event
    for name in place:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1_000)


def _text_of(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC).isoformat(timespec="milliseconds")
