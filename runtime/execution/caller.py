"""Who asks for an execution: made once at the edge, carried everywhere, never rebuilt from strings."""

from dataclasses import dataclass

from sandboxes.environment import Environment


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """The context of a request. `principal` is whom the credential proved; the rest is what they said.

    `expires_at` is Unix seconds, UTC.
    """

    principal: str
    actor: str
    owner: str
    environment: Environment
    reason: str
    expires_at: float

    @property
    def tenant(self) -> str:
        """Who shares places, queues and tenants' workers: one owner under one principal."""
        return tenant_of(self.principal, self.owner)


def tenant_of(principal: str, owner: str) -> str:
    """One owner under one principal."""
    return f"{principal}/{owner}"
