"""What a rule wants of a request's body: its type and its size."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from .limits import parse_size
from .media_type import MediaType
from .model import FrozenModel

HELD_BODY = 1024 * 1024  # bytes of a body that has to be read before it may leave, unless a rule says otherwise
MAX_HELD_BODY = 16 * 1024 * 1024

BodySize = Annotated[int, BeforeValidator(parse_size), Field(ge=0, le=1 << 40)]


class BodyRule(FrozenModel):
    """A request without a body always has the right type."""

    content_types: tuple[MediaType, ...] = Field((), description="application/json, text/*. Empty: any.")
    max_bytes: BodySize | None = Field(None, description="Without it: no bound here, or 1MiB where bodies are read.")
