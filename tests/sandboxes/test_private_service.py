"""Which requests reach a private service, decided without a socket."""

import pytest
from pydantic import ValidationError

from sandboxes.asked_url import facts_of_url
from sandboxes.egress_explanation import explain
from sandboxes.egress_rule import EgressRule
from sandboxes.private_service import PrivateService, refuse_service
from sandboxes.rule_set import RuleSet

LEDGER = {"ledger.test": PrivateService(address="10.1.2.3", port=8443, network="10.1.0.0/16")}


def naming(*hosts: str) -> EgressRule:
    return EgressRule.model_validate(
        {"name": "r", "hosts": hosts, "ports": [8443, 9000], "paths": ["/**"], "networks": ["10.1.0.0/16"]}
    )


@pytest.mark.parametrize(
    ("rule", "host", "port", "expected"),
    [
        pytest.param(naming("ledger.test"), "ledger.test", 8443, None, id="named"),
        pytest.param(naming("*.test"), "ledger.test", 8443, "do not name it", id="wildcard"),
        pytest.param(naming("**"), "ledger.test", 8443, "do not name it", id="every name"),
        pytest.param(None, "ledger.test", 8443, "do not name it", id="no rule"),
        pytest.param(naming("ledger.test"), "ledger.test", 9000, "is at port 8443, not 9000", id="another port"),
        pytest.param(naming("10.1.2.3"), "10.1.2.3", 8443, "by its name only", id="its address"),
        pytest.param(naming("::ffff:10.1.2.3"), "::ffff:10.1.2.3", 8443, "by its name only", id="mapped"),
        pytest.param(naming("10.1.2.4"), "10.1.2.4", 8443, None, id="a neighbour"),
        pytest.param(naming("other.test"), "other.test", 8443, None, id="another name, not resolved yet"),
    ],
)
def test_a_private_service_is_reached_by_rules_that_name_it(
    rule: EgressRule | None, host: str, port: int, expected: str | None
) -> None:
    said = refuse_service(LEDGER, rule, host, port)
    assert said is None if expected is None else expected in (said or "")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"address": "10.2.2.3"}, "the address 10.2.2.3 is not in the network 10.1.0.0/16"),
        ({"address": "ledger"}, "expected an IPv4 or IPv6 address"),
        ({"address": "fd00::1"}, "is not in the network"),
        ({"port": 0}, "port"),
        ({"network": "10.1.2.3/16"}, "has bits below its mask"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(changed: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        PrivateService.model_validate({"address": "10.1.2.3", "port": 8443, "network": "10.1.0.0/16", **changed})


@pytest.mark.parametrize(("host", "leaves"), [("ledger.test", True), ("*.test", False)])
def test_an_explanation_knows_private_services(host: str, leaves: bool) -> None:
    request = facts_of_url("GET", "https://ledger.test:8443/", [], b"")
    found, lines = explain(RuleSet(rules=(naming(host),)), request, environment="dev", hosts={}, services=LEDGER)
    assert found is leaves
    assert ("do not name it" in lines[0]) is not leaves
