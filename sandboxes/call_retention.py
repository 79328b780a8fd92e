"""What is kept of host calls once their execution has ended."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

type Kept = Literal["keep", "digest"]


class CallRetention(BaseModel):
    """By default all is kept as long as the execution; a digest stays of what is not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    arguments: Kept = Field("keep", description="What calls asked for, headers and bodies of fetches included.")
    answers: Kept = Field("keep", description="What they were answered. Without it nothing can be replayed.")
