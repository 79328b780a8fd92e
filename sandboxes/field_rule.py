"""What a rule wants of one named field: a query parameter, a header, an argument of a tool."""

from typing import Any, Literal, Self

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from .model import FrozenModel
from .text_pattern import TextPattern, text_matches

Scalar = StrictBool | StrictInt | StrictFloat | StrictStr | None
Presence = Literal["required", "optional", "absent"]


class FieldRule(FrozenModel):
    """A field of text. Without `values` and `pattern` any value will do."""

    presence: Presence = Field("required", description="required, optional (may be left out) or absent.")
    values: tuple[str, ...] = Field((), max_length=1_000, description="One of these, exactly.")
    pattern: TextPattern | None = Field(None, description="RE2; all of the value must match.")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.values and self.pattern is not None:
            raise ValueError("write values or pattern, not both")
        if self.presence == "absent" and (self.values or self.pattern is not None):
            raise ValueError("a field that must be absent has no values and no pattern")
        return self

    def fault(self, *, present: bool, value: Any = None) -> str | None:
        """What the field lacks, in words that do not quote it, or None."""
        if not present:
            return "must be there" if self.presence == "required" else None
        if self.presence == "absent":
            return "must not be there"
        if self.values and not self._listed(value):
            return "must be one of the rule's values"
        if self.pattern is not None and not (isinstance(value, str) and text_matches(self.pattern, value)):
            return f"must match {self.pattern}"
        return None

    def _listed(self, value: Any) -> bool:
        return value in self.values


class ArgumentRule(FieldRule):
    """A field of JSON. `values` compare by type too: 1, 1.0, true and "1" are four values."""

    values: tuple[Scalar, ...] = Field((), max_length=1_000, description="One of these, exactly, type included.")  # type: ignore[assignment]

    def _listed(self, value: Any) -> bool:
        return any(type(one) is type(value) and one == value for one in self.values)
