"""The event of a request in OCSF terms, held against the names and types that docs/egress.md promises."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.egress_event import OCSF_VERSION, from_ocsf, read_event, to_ocsf

ROOT = Path(__file__).resolve().parents[2]
RECORD: dict[str, Any] = {
    "time": "2026-11-21T15:00:00.123+00:00", "event": "egress", "allowed": True, "code": "allowed",
    "reason": 'rule "ledger"', "rule": "ledger", "method": "GET", "scheme": "https", "host": "api.example.test",
    "port": 443, "path": "/a?x=*", "status": 200, "bytes_out": 1, "bytes_in": 2, "duration_ms": 3.5,
    "address": "192.0.2.1", "tls": "TLSv1.3", "credential": "s -> authorization: Bearer ***", "redactions": 4,
    "execution": "ex-1", "actor": "tester", "environment": "dev", "rules": "sha256:00", "hint": None, "uid": "a-1",
}  # fmt: skip
# OCSF 1.5.0: attribute path -> type, of what every event of a request has. `?`: only where it is known.
TYPES: dict[str, type | tuple[type, ...]] = {
    "activity_id": int,
    "activity_name": str,
    "category_uid": int,
    "category_name": str,
    "class_uid": int,
    "class_name": str,
    "type_uid": int,
    "time": int,
    "severity_id": int,
    "severity": str,
    "status_id": int,
    "status": str,
    "status_code": str,
    "status_detail": str,
    "message": str,
    "duration": (int, float),
    "action_id": int,
    "action": str,
    "disposition_id": int,
    "disposition": str,
    "metadata.version": str,
    "metadata.product.name": str,
    "metadata.product.vendor_name": str,
    "metadata.profiles": list,
    "metadata.uid": str,
    "metadata.correlation_uid?": str,
    "actor.user.name?": str,
    "policy.uid?": str,
    "firewall_rule.name?": str,
    "http_request.http_method": str,
    "http_request.url.scheme": str,
    "http_request.url.hostname?": str,
    "http_request.url.port?": int,
    "http_request.url.path?": str,
    "http_request.url.query_string?": str,
    "http_response.code?": int,
    "dst_endpoint.hostname": str,
    "dst_endpoint.port": int,
    "dst_endpoint.ip?": str,
    "tls.version?": str,
    "traffic.bytes_in": int,
    "traffic.bytes_out": int,
    "unmapped": dict,
}
text = st.text(st.characters(codec="utf-8", exclude_characters="?"), max_size=20)
records = st.fixed_dictionaries(
    {
        **{name: st.just(value) for name, value in RECORD.items()},
        "allowed": st.booleans(),
        "code": st.sampled_from(["allowed", "host", "closed", "upstream_error"]),
        "reason": text,
        "rule": st.none() | text,
        "method": st.sampled_from(["GET", "PATCH", "CONNECT", "BREW", "get"]),
        "host": st.none() | text,
        "port": st.none() | st.integers(1, 65_535),
        "path": st.none() | text.map(lambda path: f"/{path}"),
        "status": st.none() | st.integers(200, 599),
        "address": st.none() | st.just("::1"),
        "tls": st.none() | st.just("TLSv1.2"),
        "execution": st.none() | text,
        "hint": st.none() | st.just({"hosts": ["a"]}),
        "matched": st.just(["a field of its own"]),
    }
)


def at(event: Any, path: str) -> Any:
    for name in path.split("."):
        event = event.get(name) if isinstance(event, dict) else None
    return event


def paths(event: Any, prefix: str = "") -> set[str]:
    if not isinstance(event, dict) or prefix == "unmapped.":
        return {prefix.removesuffix(".")}
    return set().union(*(paths(value, f"{prefix}{name}.") for name, value in event.items()), set())


@given(records)
def test_every_field_has_the_name_and_the_type_of_the_schema(record: dict[str, Any]) -> None:
    event = json.loads(json.dumps(to_ocsf(record)))
    for path, kind in TYPES.items():
        found = at(event, path.removesuffix("?"))
        assert isinstance(found, kind) or (found is None and path.endswith("?")), path
    assert paths(event) <= {path.removesuffix("?") for path in TYPES} | {"unmapped"}


@given(records)
def test_the_class_is_http_activity_and_its_ids_agree(record: dict[str, Any]) -> None:
    event = to_ocsf(record)
    assert (event["category_uid"], event["class_uid"], event["metadata"]["version"]) == (4, 4002, OCSF_VERSION)
    assert event["type_uid"] == 400_200 + event["activity_id"]
    assert (event["activity_id"] == 99) == (record["method"] not in {"GET", "CONNECT"})
    assert (event["action_id"], event["disposition_id"]) == ((1, 1) if record["allowed"] else (2, 2))
    assert (event["status_id"] == 1) == (record["allowed"] and record["code"] == "allowed")


@given(records)
def test_what_is_written_is_read_back(record: dict[str, Any]) -> None:
    read = read_event(json.dumps(to_ocsf(record)))
    assert {name: value for name, value in read.items() if value is not None} == {
        name: value for name, value in record.items() if value is not None
    }
    assert set(record) - {"matched"} <= set(read)


def test_what_is_no_request_is_a_base_event() -> None:
    fault = {"time": RECORD["time"], "event": "fault", "hook": "requestheaders", "error": "ValueError"}
    event = to_ocsf(fault)
    assert (event["class_uid"], event["category_uid"], event["type_uid"]) == (0, 0, 99)
    assert from_ocsf(event) == fault


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '{"time": "x"}', '{"time": 1e99, "class_uid": 0}', "\x00"])
def test_a_line_that_is_no_event_is_none(line: str) -> None:
    assert read_event(line) is None


def test_the_page_names_the_version_and_every_attribute() -> None:
    page = (ROOT / "docs" / "egress.md").read_text(encoding="utf-8")
    assert f"OCSF {OCSF_VERSION}" in page
    told = set(re.findall(r"`([a-z_.]+)`", page.split("## Evidence")[1].split("\n## ")[0]))
    assert {path.removesuffix("?") for path in TYPES} <= told
