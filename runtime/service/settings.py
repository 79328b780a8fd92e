"""What a gateway process is started with: one JSON line on its standard input."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from sandboxes.config import Config
from sandboxes.profile import Profile


class GatewaySettings(BaseModel):
    """Everything but the egress proxy's address, which follows when the proxy is ready."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: Config = Field(description="As the supervisor loaded it.")
    profiles: dict[str, Profile] = Field(description="By name.")
    generation: int = Field(0, ge=0, description="Which loading of the operator's files these are of.")
    problem: str = Field("", description="Why the files as they are now cannot be loaded; empty if they can.")
    state_dir: Path
    grpc_address: str = Field(description="host:port to listen on.")
    mcp_address: str = Field(description="host:port to listen on.")
    token_key: str = Field(repr=False, description="Base64 of the key that signs execution tokens.")
    store_password: str = Field("", repr=False, description="Of the store's server; empty for none.")
    workers: int = Field(ge=1, le=64, description="Worker processes of the shared cordon.")
    slots: int = Field(ge=1, le=64, description="Guests that run at once in one worker.")


class News(BaseModel):
    """A later line: what is there has changed, the rest has not."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    egress_port: int | None = Field(None, ge=1, le=65_535, description="Where the egress proxy listens now.")
    egress_ports: tuple[int, ...] = Field((), description="Where its processes do, in order, if it has several.")
    generation: int | None = Field(None, ge=1, description="Comes with profiles.")
    profiles: dict[str, Profile] = Field(default_factory=dict, description="By name, all of them.")
    problem: str | None = Field(None, description="Why the operator's files cannot be loaded; empty if they can.")
