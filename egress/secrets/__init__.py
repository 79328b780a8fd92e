"""Secrets: where their values come from, how long they are kept, and a type that cannot show them."""

from .secret import Missing, Secret, Unready
from .store import SHORT, SecretStore
from .token_client import TokenClient

__all__ = ["SHORT", "Missing", "Secret", "SecretStore", "TokenClient", "Unready"]
