"""What models share that operators write rules with."""

from pydantic import BaseModel, ConfigDict


class FrozenModel(BaseModel):
    """Immutable, knows every field it may have, and shows no values in its errors: they may be secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)
