"""What a gateway process is started with: one JSON line on its standard input."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class GatewaySettings(BaseModel):
    """Everything but the egress proxy's address, which follows when the proxy is ready."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    config_file: Path | None = Field(description="lockgate.yaml, or none for no upstreams.")
    state_dir: Path
    grpc_address: str = Field(description="host:port to listen on.")
    mcp_address: str = Field(description="host:port to listen on.")
    token_key: str = Field(repr=False, description="Base64 of the key that signs execution tokens.")
    workers: int = Field(ge=1, le=64, description="Worker processes of the shared cordon.")
    slots: int = Field(ge=1, le=64, description="Guests that run at once in one worker.")


class EgressAddress(BaseModel):
    """A later line: where the egress proxy listens now."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    egress_port: int = Field(ge=1, le=65_535)
