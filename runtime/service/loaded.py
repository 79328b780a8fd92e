"""What an operator wrote, as it was loaded: one generation of configuration and profiles."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from runtime.service.needed_images import wanted_images
from sandboxes.budgets import Terms
from sandboxes.config import Config, load_config, undeclared_secrets
from sandboxes.generation import Generation, make_generation
from sandboxes.problem import DocumentError, Mark, Problem
from sandboxes.profile import Profile
from sandboxes.profile_file import load_profiles

RELOADED = frozenset({"profiles", "secrets", "secret_stores", "hosts", "private_services"})
"""Keys of lockgate.yaml that a running service takes over. For the others it has to be started again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """`number` rises with every reload. `stale`: keys that were changed since the start and wait for the next one."""

    number: int
    config: Config
    profiles: dict[str, Profile]
    stale: tuple[str, ...] = ()

    @classmethod
    def read(cls, config_file: Path | None, number: int = 0) -> Self:
        """What the files say now. Raises DocumentError with every problem of all files."""
        config = load_config(config_file) if config_file is not None else Config()
        profiles = load_profiles([Path(place) for place in config.profiles]).profiles
        return cls(number=number, config=config, profiles=dict(profiles))

    def followed_by(self, config_file: Path | None) -> "Loaded":
        """What the files say now, as far as a running service can take it over. Raises DocumentError."""
        fresh = Loaded.read(config_file, self.number + 1)
        missing = set(wanted_images(fresh.profiles.values())) - set(wanted_images(self.profiles.values()))
        if missing:
            names = ", ".join(sorted(f"{name} (counting fuel)" if fuel else name for name, fuel in missing))
            text = f"a profile needs the image {names}, which is loaded at a start only; start the service again"
            raise DocumentError((Problem(file=str(config_file), mark=Mark(), path="profiles", message=text),))
        taken = {name: getattr(fresh.config, name) for name in RELOADED}
        kept = [name for name in Config.model_fields if name not in RELOADED]
        stale = tuple(name for name in kept if getattr(fresh.config, name) != getattr(self.config, name))
        return replace(fresh, config=self.config.model_copy(update=taken), stale=stale)

    def warnings(self) -> list[str]:
        """What the operator should know of these files."""
        stale = [f"{key} in lockgate.yaml was changed; start the service again to use it" for key in self.stale]
        return [*undeclared_secrets(self.config, self.profiles.values()), *stale]

    def same_rules_as(self, other: "Loaded") -> bool:
        """Whether nothing differs but the number."""
        return replace(self, number=other.number) == other

    def generation(self) -> Generation:
        """For the egress proxy."""
        owned = {f"profile {profile.name}": profile.egress for profile in self.profiles.values()}
        owned |= {
            f"upstream {name}{f' scheme {scheme}' if scheme else ''}": rules
            for name, upstream in self.config.upstreams.items()
            for scheme, rules in upstream.rule_sets(name).items()
        }
        if (webhook := self.config.approvals.webhook) is not None:
            owned["approvals webhook"] = webhook.rule_set()
        terms = [
            (profile.digest(), Terms(name=profile.name, environments=profile.environments, budgets=profile.budgets))
            for profile in self.profiles.values()
        ]
        return make_generation(self.number, owned, terms)
