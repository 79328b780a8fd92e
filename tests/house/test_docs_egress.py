"""What writing-profiles says of egress rules is what they do."""

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from sandboxes.egress_decision import decide
from sandboxes.egress_rule import EgressRule
from sandboxes.profile_file import parse_profile
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_match import Step
from sandboxes.rule_set import RuleSet

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "writing-profiles.md").read_text(encoding="utf-8")
EGRESS = PAGE.split("\n## Egress\n")[1].split("\n## ")[0]
BLOCKS = EGRESS.split("```")[1::2]
EXAMPLE = next(block.removeprefix("yaml\n") for block in BLOCKS if "- name: search" in block)
REFUSAL = json.loads(next(block.removeprefix("json\n") for block in BLOCKS if block.startswith("json")))
JSON = ((b"content-type", b"application/json"),)


def rules() -> RuleSet:
    head = "name: example\nversion: 1\nlanguages: [python]\nenvironments: [dev]\n"
    return parse_profile((head + EXAMPLE).encode(), "example.yaml").egress


def posted(host: str, path: str, body: Any) -> RequestFacts:
    raw = json.dumps(body).encode()
    return RequestFacts(
        method="POST", scheme="https", host=host, port=443, path=path, headers=JSON, body_length=len(raw), body=raw
    )


def tool(name: str, **arguments: Any) -> RequestFacts:
    params = {"name": name, "arguments": arguments}
    return posted("mcp.example.com", "/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})


def searched(query: str, tenant: bytes = b"blue") -> RequestFacts:
    headers = ((b"X-Tenant", tenant),)
    return RequestFacts(
        method="GET", scheme="https", host="api.example.com", port=443, path="/search", query=query, headers=headers
    )


def test_the_table_has_every_key_of_a_rule() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", EGRESS, re.MULTILINE)) >= set(EgressRule.model_fields)


def test_the_page_names_every_code() -> None:
    told = EGRESS.split("first thing that failed: ")[1].split(". `rule`")[0]
    assert re.findall(r"`(\w+)`", told) == list(get_args(Step))


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (searched("q=x&format=csv"), True),
        (searched("q=x&format=json&page=12"), True),
        (searched("format=csv"), False),
        (searched("q=x&format=xml"), False),
        (searched("q=x&format=csv&page=1234"), False),
        (searched("q=x&format=csv&debug"), False),
        (searched("q=x&format=csv", b"red"), False),
        (posted("rpc.example.com", "/", {"jsonrpc": "2.0", "method": "eth_getBalance"}), True),
        (posted("rpc.example.com", "/", {"jsonrpc": "2.0", "method": "eth_sendTransaction"}), False),
        (tool("search", project="docs", limit=10), True),
        (tool("get_issue", anything=[1]), True),
        (tool("search", project="payroll"), False),
        (tool("drop"), False),
        (posted("api.forge.example", "/graphql", {"query": "{ viewer { login } }"}), True),
        (posted("api.forge.example", "/graphql", {"query": "mutation { drop }"}), False),
    ],
)
def test_the_example_does_what_it_says(request_: RequestFacts, allowed: bool) -> None:
    assert decide(rules(), request_).allowed is allowed


def test_the_refusal_of_the_page_is_the_one_given() -> None:
    decision = decide(rules(), tool("drop"))
    assert (decision.code, decision.rule.name, decision.reason) == (REFUSAL["code"], REFUSAL["rule"], REFUSAL["reason"])
    assert decision.hint is not None
    assert {**decision.hint, "body": {**decision.hint["body"], "max_bytes": 80}} == REFUSAL["hint"]
