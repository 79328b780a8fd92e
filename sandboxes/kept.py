"""What the gateway keeps in memory of executions that have ended, and for how long.

Apart from `held_bytes`: what is kept gives way to what is newer, and never refuses an execution.
"""

from pydantic import BaseModel, ConfigDict, Field

from sandboxes.limits import Size


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KeptExecutions(_Model):
    """Ended executions, with their results, logs and files; the oldest go first."""

    count: int = Field(2_000, ge=1, le=1_000_000, description="Ended executions.")
    bytes: Size = Field(64 << 20, ge=1 << 20, le=64 << 30, description="What they take together.")


class KeptResults(_Model):
    """Results that were cut, under their handles; the oldest go first."""

    per_owner: int = Field(200, ge=0, le=100_000, description="Results of one owner.")
    owner_bytes: Size = Field(64 << 20, ge=0, le=64 << 30, description="What they take together.")
    bytes: Size = Field(256 << 20, ge=0, le=64 << 30, description="What those of all owners take.")
    expiry_s: int = Field(3_600, ge=1, le=7 * 86_400, description="After that long one is forgotten.")


class KeptStores(_Model):
    """Stores of sessions. One that is full refuses; one that nobody uses is forgotten."""

    per_owner: int = Field(100, ge=0, le=100_000, description="Stores of one owner.")
    owner_bytes: Size = Field(100 << 20, ge=0, le=64 << 30, description="What they take together.")
    count: int = Field(2_000, ge=0, le=1_000_000, description="Stores of all owners.")
    bytes: Size = Field(256 << 20, ge=0, le=64 << 30, description="What those take.")
    idle_s: int = Field(3_600, ge=1, le=7 * 86_400, description="One that nobody has used for that long is forgotten.")


class Kept(_Model):
    """Budgets of what outlives an execution."""

    executions: KeptExecutions = Field(default_factory=KeptExecutions, description="For GetExecution and the lists.")
    results: KeptResults = Field(default_factory=KeptResults, description="For GetResult, and results[handle].")
    stores: KeptStores = Field(default_factory=KeptStores, description="For store.get and store.set.")
