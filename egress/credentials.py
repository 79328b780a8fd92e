"""Adds to an admitted request all that its rule injects, and keeps placeholders from going where they mean nothing."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sandboxes.injection import Injection, MutualTlsInjection, PlaceholderInjection, SigV4Injection
from sandboxes.rule_set import RuleSet

from .client_certificate import ClientCertificate
from .injection import (
    Credentials,
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
    injections = (injection for rules in rule_sets for rule in rules.rules for injection in rule.injections)
    return frozenset(injection.text for injection in injections if isinstance(injection, PlaceholderInjection))


def preload(rule_sets: Iterable[RuleSet]) -> None:
    """Begin to load what the rules will need, beside the event loop."""
    injections = (injection for rules in rule_sets for rule in rules.rules for injection in rule.injections)
    if any(isinstance(injection, SigV4Injection) for injection in injections):
        preload_signer()


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """Placeholders that a rule does not replace: not in a request's head, not in its body."""

    head: frozenset[str]
    body: frozenset[str]


def not_replaced(injections: Iterable[Injection], words: frozenset[str]) -> Elsewhere:
    """Of all placeholders those that a rule with these injections does not replace."""
    own = [injection for injection in injections if isinstance(injection, PlaceholderInjection)]
    in_body = {injection.text for injection in own if "body" in injection.places}
    return Elsewhere(words - {injection.text for injection in own}, words - in_body)


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


def add_credentials(
    injections: tuple[Injection, ...], secrets: SecretStore, outgoing: Outgoing, rule: str
) -> Credentialed | Denial | Unready:
    """The head with all credentials, or with the step that adds them once the body is whole."""
    pairs: list[tuple[Injection, Secret]] = []
    for injection in injections:
        secret = secrets.get(injection.secret)
        if isinstance(secret, Unready):
            return secret
        if isinstance(secret, Missing):
            return Denial(code="secret", reason=secret.reason, rule=rule)
        pairs.append((injection, secret))
    held = any(needs_body(injection, outgoing) for injection in injections)
    try:
        return Credentialed(
            outgoing=outgoing if held else inject(pairs, outgoing),
            credential=", ".join(injection.redacted() for injection in injections),
            needles=tuple(needle for injection, secret in pairs for needle in needles(injection, secret)),
            certificate=_certificate(pairs),
            step=_step(pairs, rule) if held else None,
        )
    except NotInjectableError as error:
        return Denial(code=error.code, reason=str(error), rule=rule)


def _certificate(pairs: Credentials) -> ClientCertificate | None:
    found = (read_certificate(secret) for injection, secret in pairs if isinstance(injection, MutualTlsInjection))
    return next(found, None)


def _step(pairs: Credentials, rule: str) -> Callable[[Outgoing], Outgoing | Denial]:
    def add(outgoing: Outgoing) -> Outgoing | Denial:
        try:
            return inject(pairs, outgoing)
        except NotInjectableError as error:
            return Denial(code=error.code, reason=str(error), rule=rule)

    return add


def plainly(outgoing: Outgoing) -> Outgoing:
    """Asked for without a content coding and for the whole: in two halves a secret would be found in neither."""
    kept = [(name, value) for name, value in outgoing.headers if name.lower() not in _NOT_ASKED]
    return replace(outgoing, headers=(*kept, (b"accept-encoding", b"identity")))
