"""The `random` module's hidden generator, seeded per run and only if the program touches it.

A snapshot freezes that generator's state, and seeding it costs a host call; so the module seeds itself on the first
attribute anything asks it for.
"""

import os
import random
from types import ModuleType

_seed = random.seed
_urandom = os.urandom


class _Unseeded(ModuleType):
    """The random module before its first use."""

    def __getattribute__(self, name: str) -> object:
        object.__setattr__(self, "__class__", ModuleType)
        _seed(int.from_bytes(_urandom(32), "little"))
        return getattr(self, name)


def _arm() -> None:
    random.seed = _seed
    random.__class__ = _Unseeded


def reseed() -> None:
    """Give the generator a new seed if it has one: the next program of a session begins."""
    if type(random) is not _Unseeded:  # asking the module itself for its class would be its first use
        _seed(int.from_bytes(_urandom(32), "little"))


def install() -> None:
    """Have the module armed on the first export call; once, before the snapshot.

    componentize-py takes `random.seed` when it has imported everything and calls it on the first export call.
    """
    random.seed = _arm
