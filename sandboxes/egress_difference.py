"""What one set of egress rules allows and another does not, and what of it deserves a second look. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice, product

from .canonical_json import canonical_json
from .egress_rule import EgressRule
from .environment import ENVIRONMENTS
from .field_rule import FieldRule
from .injection import Injection
from .network import network_covers
from .rule_cover import covers, meets_places
from .rule_set import RuleSet

MAX_SHOWN = 5
MAX_PARTS = 5_000
"""Parts that one rule is taken apart into. A rule with more is compared as a whole."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Each is a line for people; `allowed` are the parts of rules that allow something new."""

    allowed: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    wildcards: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    screens: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.allowed, self.credentials, self.networks, self.wildcards, self.modes, self.screens))


def newly_allowed(old: RuleSet, new: RuleSet) -> Difference:
    """What `new` allows beyond `old`. Names nothing only if nothing is new; may name what several old rules share."""
    added: list[tuple[EgressRule, EgressRule]] = []
    credentials: list[str] = []
    networks: list[str] = []
    for place, rule in enumerate(new.rules):
        before = new.rules[:place]
        added += [(rule, part) for part in _unknown(rule, lambda part: any(covers(one, part) for one in old.rules))]
        for injection in rule.injections:
            credentials += _new_credential(old, rule, injection, before)
        networks += [
            f'rule "{rule.name}" reaches the network {network}'
            for network in rule.networks
            if _unknown(rule, partial(_first_of, old.rules, before, partial(_opens, network)))
        ]
    return Difference(
        allowed=_lines(f'rule "{rule.name}": {_shown(part)}' for rule, part in added),
        credentials=_lines(credentials),
        networks=_lines(networks),
        wildcards=_lines(line for rule, part in added for line in _wildcards(rule, part)),
        modes=_lines(
            f"mode report lets everything public go in {place}"
            for place in ENVIRONMENTS
            if new.reports_in(place) and not old.reports_in(place)
        ),
        screens=_lines(
            f'outgoing data rule "{rule.name}" is gone or was changed'
            for rule in old.dlp
            if not any(rule.model_copy(update={"name": one.name}) == one for one in new.dlp)
        ),
    )


def _unknown(rule: EgressRule, known: Callable[[EgressRule], bool]) -> list[EgressRule]:
    """The parts of a rule that are not known; none at once, if it is known as a whole."""
    return [] if known(rule) else [part for part in _parts(rule) if not known(part)]


def _new_credential(old: RuleSet, rule: EgressRule, injection: Injection, before: Sequence[EgressRule]) -> list[str]:
    parts = _unknown(rule, partial(_first_of, old.rules, before, partial(_adds, injection)))
    return [f'rule "{rule.name}" adds {injection.redacted()} to {_shown(part)}' for part in parts]


def _first_of(
    old: Sequence[EgressRule], before: Sequence[EgressRule], same: Callable[[EgressRule], bool], part: EgressRule
) -> bool:
    """Whether an old rule covers the part and gave it the same.

    An earlier old rule that gave something else may have decided first; it must still come first, `before` the part.
    """
    for rule in old:
        if same(rule) and covers(rule, part):
            return True
        if not same(rule) and meets_places(rule, part) and rule not in before:
            return False
    return False


def _adds(injection: Injection, rule: EgressRule) -> bool:
    return injection in rule.injections


def _opens(network: str, rule: EgressRule) -> bool:
    return any(network_covers(one, network) for one in rule.networks)


def _parts(rule: EgressRule) -> Iterator[EgressRule]:
    """A rule as rules with one host, scheme, port, method and path each, and one choice of each list of values."""
    places = product(rule.hosts, [(s, p) for s in rule.schemes for p in rule.ports_for(s)], rule.methods, rule.paths)
    made = [
        {"hosts": (host,), "schemes": (scheme,), "ports": (port,), "methods": (method,), "paths": (path,)}
        for host, (scheme, port), method, path in islice(places, MAX_PARTS + 1)
    ]
    choices = list(islice(_choices(rule), MAX_PARTS + 1))
    if len(made) * len(choices) > MAX_PARTS:
        choices = [{}]
    if len(made) > MAX_PARTS:
        made = [{}]
    for place in made:
        for choice in choices:
            yield rule.model_copy(update={**place, **choice})


def _choices(rule: EgressRule) -> Iterator[dict[str, object]]:
    """One value of each list at a time."""
    query, headers = map(_single, (rule.query, rule.headers))
    for asked, said, body in product(product(*query), product(*headers), _bodies(rule)):
        yield {"query": dict(asked), "headers": dict(said), **body}


def _single(fields: Mapping[str, FieldRule]) -> list[list[tuple[str, FieldRule]]]:
    return [
        [(name, field.model_copy(update={"values": (value,)})) for value in field.values] or [(name, field)]
        for name, field in fields.items()
    ]


def _bodies(rule: EgressRule) -> list[dict[str, object]]:
    """Methods and tools are not taken apart: one body may call several, and one rule has to allow them all."""
    if rule.body is None or not rule.body.content_types:
        return [{}]
    return [{"body": rule.body.model_copy(update={"content_types": (one,)})} for one in rule.body.content_types]


def _lines(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))


def _wildcards(rule: EgressRule, part: EgressRule) -> Iterator[str]:
    for host in part.hosts:
        if "*" in host:
            yield f'rule "{rule.name}": every host of {host}'
    if "*" in part.methods:
        yield f'rule "{rule.name}": every method'
    if "/**" in part.paths:
        yield f'rule "{rule.name}": every path'


def _shown(part: EgressRule) -> str:
    """A part in one line: `GET https://api.example.com:443/v1/* with {...}`."""
    targets = [
        f"{scheme}://{host}:{port}{path}"
        for scheme in part.schemes
        for host in part.hosts
        for port in part.ports_for(scheme)
        for path in part.paths
    ]
    fields = part.model_dump(
        mode="json", by_alias=True, exclude_defaults=True,
        include={"query", "query_exact", "headers", "body", "jsonrpc", "mcp", "graphql"},
    )  # fmt: skip
    with_what = f" with {canonical_json(fields).decode()}" if fields else ""
    return f"{_some(part.methods)} {_some(targets)}{with_what}"


def _some(items: Sequence[str]) -> str:
    """A few of them; the first stands for a rule with too many parts to tell."""
    more = f" and {len(items) - MAX_SHOWN} more" if len(items) > MAX_SHOWN else ""
    return ", ".join(items[:MAX_SHOWN]) + more
