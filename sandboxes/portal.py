"""What MCP clients are told at once, and how much of it: the budgets of a model's context."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sandboxes.limits import Size


class Portal(BaseModel):
    """What MCP clients are told of the catalog before they search it, and how long the pair's replies may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inline: Literal["auto", "always", "never"] = Field(
        "auto", description="All declarations in the description of execute: if they fit, as far as they fit, never."
    )
    inline_tokens: int = Field(1_500, ge=100, le=50_000, description="What they may cost a model, as estimated.")
    infer: bool = Field(
        default=True, description="Whether result types that no upstream declares are told from answers."
    )
    describe_tokens: int = Field(
        1_500, ge=50, le=50_000, description="Declarations in one reply, as estimated, unless a request says otherwise."
    )
    result_bytes: Size = Field(
        20_000, ge=256, le=4 << 20, description="Of a result, in a reply of execute; the rest is kept under a handle."
    )
    log_lines: int = Field(200, ge=0, le=100_000, description="The last log lines in a reply of execute, at most.")
    log_characters: int = Field(4_000, ge=0, le=1_000_000, description="What those may have together.")
