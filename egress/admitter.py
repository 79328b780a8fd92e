"""From a request head to leave to go: what for, by which rule, with which credential."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial

from sandboxes.authority import Authority
from sandboxes.egress_decision import Decision, decide, decide_tunnel
from sandboxes.egress_rule import EgressRule
from sandboxes.generation import Generation
from sandboxes.hostname import is_address
from sandboxes.private_service import PrivateService, refuse_service
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_set import RuleSet
from sandboxes.token import TokenClaims

from .addresses import Allowance, allowance_of, refuse_address
from .admission import Admission, BodyWanted, screened_first, watching, with_step
from .credentials import (
    Credentialed,
    add_credentials,
    not_replaced,
    placeholders,
    plainly,
    preload,
    refuse_in_body,
    refuse_placeholder,
)
from .forwarded import forwarded
from .generations import Generations
from .lookout import Lookout
from .outgoing import Outgoing
from .request import CanonicalRequest, Denial
from .returning import Returning
from .screen import Screen
from .secrets import SecretStore, Unready


class Admitter:
    """Holds what admission is decided by. Its answers depend on nothing else but their arguments and the time."""

    def __init__(
        self,
        *,
        generations: Generations,
        secrets: SecretStore,
        own_ports: Collection[int],
        services: Mapping[str, PrivateService],
    ) -> None:
        self._generations = generations
        self._allowances: dict[tuple[str, ...], Allowance] = {}
        self._secrets = secrets
        self._prepare()
        self._own_ports = own_ports
        self._services = services
        self._lookout = Lookout()

    @property
    def generation(self) -> int:
        """The number of the present generation."""
        return self._generations.number

    def add_rule_sets(self, rule_sets: Mapping[str, RuleSet]) -> None:
        """Learn further rule sets, owned by nobody."""
        self._generations.add(dict(rule_sets))
        self._prepare()

    def load(self, following: Generation, now: float) -> None:
        """Decide by a new generation from now on. Raises ValueError if it is not newer."""
        self._generations.load(following, now)
        self._allowances.clear()
        self._prepare()

    def _prepare(self) -> None:
        """What follows from the rule sets as a whole."""
        held = self._generations.rule_sets()
        self._placeholders = placeholders(held)
        preload(held)

    def use_secrets(self, secrets: SecretStore) -> None:
        """Take secrets from here from now on."""
        self._secrets = secrets

    def still_admits(self, claims: TokenClaims, rule: str | None) -> bool:
        """Whether the rule of that name still stands for this token; None: that mode report does."""
        if not self._generations.knows(claims.rules):
            return False
        rules = self._generations.rules(claims)
        return any(standing.name == rule for standing in rules.rules) or (
            rule is None and rules.reports_in(claims.environment)
        )

    def admit_tunnel(self, claims: TokenClaims, authority: Authority) -> Denial | None:
        """Why no request could leave through a tunnel to this authority, or None."""
        decision = decide_tunnel(self._generations.rules(claims), authority.host, authority.port)
        return None if decision.allowed or self._lets_go(claims, decision) else self._denial(decision, claims)

    def admit(
        self,
        claims: TokenClaims,
        request: CanonicalRequest,
        headers: Iterable[tuple[bytes, bytes]],
        *,
        body_length: int | None = 0,
        body: bytes | None = None,
    ) -> Admission | BodyWanted | Denial | Unready:
        """The request with its credential, why it does not leave, or what to wait for before asking again.

        Body as in `RequestFacts`.
        """
        kept = forwarded(headers)
        decision = decide(self._generations.rules(claims), _facts(request, kept, body_length, body))
        if decision.body_limit is not None:
            return BodyWanted(decision.body_limit)
        if not decision.allowed and self._lets_go(claims, decision):
            reported = self._reported(decision, request, kept, held=body is not None)
            return reported if isinstance(reported, Denial) else self._screened(reported, request, claims, body_length)
        if not decision.allowed or decision.rule is None:
            return self._denial(decision, claims)
        unreachable = self._refuse_place(decision, request.authority)
        if unreachable:
            return Denial(code="address", reason=unreachable, rule=decision.rule.name)
        held = body is not None
        admission = Admission(decision=decision, headers=kept, query=request.target.query, held=held)
        screened = self._screened(admission, request, claims, body_length)
        if isinstance(screened, Denial):
            return screened
        return screened_first(self._with_credential(screened, screened.outgoing(request), decision.rule))

    def _screened(
        self, admission: Admission, request: CanonicalRequest, claims: TokenClaims, body_length: int | None
    ) -> Admission | Denial:
        """What the program itself sends, looked at before any credential is on it."""
        rules = self._generations.rules(claims).dlp
        if not rules:
            return admission
        name = admission.decision.rule.name if admission.decision.rule else None
        screen = Screen(rules, name)
        outgoing = screen.head(admission.outgoing(request))
        if isinstance(outgoing, Denial):
            return outgoing
        steps = admission.steps
        if admission.held or screen.holds(outgoing.headers, body_length, admission.body_limit):
            watch = (partial(refuse_in_body, admission.watched, name),) if admission.watched and not steps else ()
            steps = (screen.step, *steps, *watch)
        headers = list(outgoing.headers)
        return replace(admission, headers=headers, query=outgoing.query, screen=screen, steps=steps)

    def returning(self, claims: TokenClaims, admission: Admission) -> Returning:
        """What becomes of the answer: every secret known here is taken out, whichever request it belongs to.

        Heads are always searched; bodies, where any rule of the set adds a secret.
        """
        redactor = self._lookout.redactor(self._secrets.known(), admission.needles)
        searched = any(rule.injections for rule in self._generations.rules(claims).rules)
        return Returning(redactor, searched=searched, credentialed=admission.credential is not None)

    def _lets_go(self, claims: TokenClaims, refusal: Decision) -> bool:
        """Whether mode report lets a refused request go. Never where the closest rule would add a secret."""
        secret = refusal.rule is not None and bool(refusal.rule.injections)
        return not secret and self._generations.rules(claims).reports_in(claims.environment)

    def _reported(
        self, refusal: Decision, request: CanonicalRequest, headers: list[tuple[bytes, bytes]], *, held: bool
    ) -> Admission | Denial:
        """A request that no rule allows, let go with nothing that a rule gives: no secret, no private network."""
        unruled = Decision(allowed=True, code="allowed", reason=f"mode report; would be refused: {refusal.reason}")
        unreachable = self._refuse_place(unruled, request.authority)
        if unreachable:
            return Denial(code="address", reason=unreachable)
        admission = Admission(
            decision=unruled, headers=headers, query=request.target.query, would_deny=refusal, held=held
        )
        elsewhere = not_replaced((), self._placeholders)
        refused = refuse_placeholder(elsewhere.head, admission.outgoing(request), None)
        return refused or watching(admission, elsewhere.body, None)

    def allowance(self, decision: Decision) -> Allowance:
        """Where connections of the deciding rule may go."""
        if decision.rule is None:
            return Allowance()
        networks = decision.rule.networks
        if networks not in self._allowances:
            self._allowances[networks] = allowance_of(networks)
        return self._allowances[networks]

    def _denial(self, decision: Decision, claims: TokenClaims) -> Denial:
        denial = _denial(decision)
        if not self._generations.withdrawn(claims):
            return denial
        reason = f"{denial.reason}; rules this execution began with were withdrawn by a reload, so start it again"
        return replace(denial, reason=reason)

    def _with_credential(
        self, admission: Admission, outgoing: Outgoing, rule: EgressRule
    ) -> Admission | Denial | Unready:
        elsewhere = not_replaced(rule.injections, self._placeholders)
        refused = refuse_placeholder(elsewhere.head, outgoing, rule.name)
        if refused is not None:
            return refused
        admission = watching(admission, elsewhere.body, rule.name)
        if not rule.injections:
            return admission
        ready = add_credentials(rule.injections, self._secrets, outgoing, rule.name)
        if not isinstance(ready, Credentialed):
            return ready
        sent = plainly(ready.outgoing)
        return replace(
            admission,
            headers=list(sent.headers),
            path=sent.path,
            query=sent.query,
            credential=ready.credential,
            needles=ready.needles,
            certificate=ready.certificate,
            steps=with_step(admission, ready.step, rule.name),
        )

    def _refuse_place(self, decision: Decision, authority: Authority) -> str | None:
        """Why the decided request may not go there, as far as that is known without asking DNS."""
        refused = refuse_service(self._services, decision.rule, authority.host, authority.port)
        if refused or not is_address(authority.host):
            return refused
        return refuse_address(authority.host, authority.port, self.allowance(decision), self._own_ports)


def _facts(
    request: CanonicalRequest, headers: list[tuple[bytes, bytes]], body_length: int | None, body: bytes | None
) -> RequestFacts:
    return RequestFacts(
        method=request.method,
        scheme=request.scheme,
        host=request.authority.host,
        port=request.authority.port,
        path=request.target.path,
        query=request.target.query,
        headers=tuple(headers),
        body_length=body_length,
        body=body,
    )


def _denial(decision: Decision) -> Denial:
    rule = decision.rule.name if decision.rule else None
    status = 413 if decision.code == "body_size" else 403
    return Denial(code=decision.code, reason=decision.reason, status=status, rule=rule, hint=decision.hint)
