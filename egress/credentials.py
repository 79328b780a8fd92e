"""Adds to an admitted request what its rule injects, and keeps placeholders from going where they mean nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sandboxes.injection import Injection, MutualTlsInjection, PlaceholderInjection, SigV4Injection
from sandboxes.rule_set import RuleSet

from .client_certificate import ClientCertificate
from .injection import (
    NotInjectableError,
    found_in_body,
    found_in_head,
    inject,
    needles,
    needs_body,
    preload_signer,
    read_certificate,
)
from .outgoing import BodyStep, Outgoing
from .request import Denial
from .secrets import Missing, Secret, SecretStore, Unready

_NOT_ASKED = frozenset((b"accept-encoding", b"range", b"if-range"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentialed:
    """A request's head with its credential, and what follows from it."""

    outgoing: Outgoing
    credential: str
    needles: tuple[tuple[str, bytes], ...] = field(repr=False)
    certificate: ClientCertificate | None = None
    step: BodyStep | None = None


def placeholders(rule_sets: Iterable[RuleSet]) -> frozenset[str]:
    """Every placeholder that any rule replaces."""
    injections = (rule.inject for rules in rule_sets for rule in rules.rules)
    return frozenset(injection.text for injection in injections if isinstance(injection, PlaceholderInjection))


def preload(rule_sets: Iterable[RuleSet]) -> None:
    """Begin to load what the rules will need, beside the event loop."""
    if any(isinstance(rule.inject, SigV4Injection) for rules in rule_sets for rule in rules.rules):
        preload_signer()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Placeholders that a rule does not replace: not in a request's head, not in its body."""

    head: frozenset[str]
    body: frozenset[str]


def not_replaced(injection: Injection | None, words: frozenset[str]) -> Elsewhere:
    """Of all placeholders those that a rule with this injection does not replace."""
    if not isinstance(injection, PlaceholderInjection):
        return Elsewhere(words, words)
    others = words - {injection.text}
    return Elsewhere(others, others if "body" in injection.places else words)


def refuse_placeholder(words: Iterable[str], outgoing: Outgoing, rule: str | None) -> Denial | None:
    """The refusal of a request whose head holds one of `words`, none of which its rule replaces."""
    words = tuple(words)
    place = found_in_head(words, outgoing) if words else None
    return None if place is None else misplaced(place, rule)


def refuse_in_body(words: Iterable[str], rule: str | None, outgoing: Outgoing) -> Outgoing | Denial:
    """The step that refuses a whole body with a placeholder in it."""
    place = found_in_body(words, outgoing.body)
    return outgoing if place is None else misplaced(place, rule)


def misplaced(place: str, rule: str | None) -> Denial:
    """The refusal of a placeholder in a place where no rule replaces it. Mode report has no rule."""
    who = f'the rule "{rule}"' if rule else "no rule"
    does = "does not replace" if rule else "replaces"
    reason = f"{place} has a placeholder for a secret, which {who} {does} there; leave it out"
    return Denial(code="placeholder", reason=reason, rule=rule)


def add_credential(
    injection: Injection, secrets: SecretStore, outgoing: Outgoing, rule: str
) -> Credentialed | Denial | Unready:
    """The head with the credential, or with the step that adds it once the body is whole."""
    secret = secrets.get(injection.secret)
    if isinstance(secret, Unready):
        return secret
    if isinstance(secret, Missing):
        return Denial(code="secret", reason=secret.reason, rule=rule)
    held = needs_body(injection, outgoing)
    try:
        return Credentialed(
            outgoing=outgoing if held else inject(injection, secret, outgoing),
            credential=injection.redacted(),
            needles=needles(injection, secret),
            certificate=read_certificate(secret) if isinstance(injection, MutualTlsInjection) else None,
            step=_step(injection, secret, rule) if held else None,
        )
    except NotInjectableError as error:
        return Denial(code=error.code, reason=str(error), rule=rule)


def _step(injection: Injection, secret: Secret, rule: str) -> Callable[[Outgoing], Outgoing | Denial]:
    def add(outgoing: Outgoing) -> Outgoing | Denial:
        try:
            return inject(injection, secret, outgoing)
        except NotInjectableError as error:
            return Denial(code=error.code, reason=str(error), rule=rule)

    return add


def plainly(outgoing: Outgoing) -> Outgoing:
    """Asked for without a content coding and for the whole: in two halves a secret would be found in neither."""
    kept = [(name, value) for name, value in outgoing.headers if name.lower() not in _NOT_ASKED]
    return replace(outgoing, headers=(*kept, (b"accept-encoding", b"identity")))
