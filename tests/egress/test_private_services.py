"""Private services that are declared by name: reached by that name, at that port, by rules that name them."""

from collections.abc import Iterator

import pytest

from tests.egress.asking import ASKERS, EVERY_WAY, Ask, Asked, port_of, refused
from tests.egress.conftest import echo
from tests.egress.lab import World, rule, rule_set, start
from tests.egress.origin import Origin

NAME, OTHER = "ledger.example.test", "other.example.test"


@pytest.fixture(scope="module", params=["plain", "secure"])
def services(request, tmp_path_factory: pytest.TempPathFactory, authority) -> Iterator[World]:
    """A proxy for which one of two origins at one address is a declared service; the other is at another port of it."""
    plain, secure = Origin(echo), Origin(echo, authority.server(NAME, OTHER, "127.0.0.1"))
    rules = rule_set(rule(hosts=[NAME], ports=[plain.port, secure.port]))
    port = plain.port if request.param == "plain" else secure.port
    lab = start(
        tmp_path_factory.mktemp("state"),
        rules,
        hosts={OTHER: "127.0.0.1"},
        private_services={NAME: {"address": "127.0.0.1", "port": port, "network": "127.0.0.0/8"}},
        extra_ca_file=str(authority.file),
    )
    yield World(lab, plain, secure, rules, rules)
    assert lab.stop() == 0
    plain.close()
    secure.close()


@pytest.fixture(autouse=True)
def forgotten(services: World) -> None:
    services.plain.received.clear()
    services.secure.received.clear()


def declared_port(services: World, request: pytest.FixtureRequest) -> int:
    chosen = request.node.callspec.params["services"]
    return services.plain.port if chosen == "plain" else services.secure.port


@EVERY_WAY
def test_a_rule_that_names_it_reaches_it_at_its_port_only(
    services: World, ask: Ask, request: pytest.FixtureRequest
) -> None:
    port = port_of(services, ask)
    asked = Asked(host=NAME, port=port, token=services.token())
    if port == declared_port(services, request):
        assert ask(services, asked).status == 200
    else:
        assert refused(services, ask, asked) == "address"


@pytest.mark.parametrize("pattern", ["**", "*.example.test", "**.example.test"])
def test_a_wildcard_does_not_reach_it(services: World, pattern: str) -> None:
    token = services.load(rule_set(rule(hosts=[pattern], ports=[services.plain.port, services.secure.port])))
    for ask in ASKERS:
        assert refused(services, ask, Asked(host=NAME, port=port_of(services, ask), token=token)) == "address"


@EVERY_WAY
@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", OTHER])
def test_its_address_is_refused_by_itself_and_under_another_name(services: World, ask: Ask, host: str) -> None:
    port = port_of(services, ask)
    token = services.load(rule_set(rule(hosts=["127.0.0.1", "::ffff:127.0.0.1", OTHER], ports=[port])))
    assert refused(services, ask, Asked(host=host, port=port, token=token)) in {"address", "malformed", "host"}


@EVERY_WAY
def test_naming_it_does_not_do_without_its_network(services: World, ask: Ask) -> None:
    port = port_of(services, ask)
    token = services.load(rule_set(rule(hosts=[NAME], ports=[port], networks=["10.0.0.0/8"])))
    assert refused(services, ask, Asked(host=NAME, port=port, token=token)) == "address"


def test_a_running_proxy_takes_over_another_declaration(services: World, request: pytest.FixtureRequest) -> None:
    declared = {"address": "127.0.0.1", "port": declared_port(services, request), "network": "127.0.0.0/8"}
    url = f"http://{OTHER}:{services.plain.port}/"
    token = services.load(rule_set(rule(hosts=[OTHER], ports=[services.plain.port])))
    assert services.lab.get(url, token).status == 403
    assert services.lab.command(private_services={})["done"]
    try:
        assert services.lab.get(url, token).status == 200
    finally:
        assert services.lab.command(private_services={NAME: declared})["done"]
    assert services.lab.get(url, token).status == 403
