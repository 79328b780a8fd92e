"""The name of a secret: what configurations, profiles and records call it by."""

from typing import Annotated

from pydantic import Field

SecretName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Name of a secret, not its value")
]
