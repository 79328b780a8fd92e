"""lockgate.yaml: where Lockgate listens, what it reaches, and where secrets come from. Never a secret itself."""

import re
from collections.abc import Iterable, Iterator
from functools import reduce
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sandboxes.approval_channels import ApprovalChannels
from sandboxes.document import Document, read_document
from sandboxes.egress import EventSettings
from sandboxes.hostname import canonical_host
from sandboxes.hosts import Hosts
from sandboxes.kept import Kept
from sandboxes.limits import Size
from sandboxes.portal import Portal
from sandboxes.private_service import PrivateServices
from sandboxes.problem import DocumentError, Problem, key_path
from sandboxes.profile import Profile
from sandboxes.secret_name import SecretName
from sandboxes.secret_source import SecretSource, dangling
from sandboxes.secret_store import SecretStoreConfig, StoreName
from sandboxes.store_config import PostgresStore, SqliteStore, StoreConfig
from sandboxes.upstream import McpStdioUpstream, OpenApiUpstream, UpstreamConfig, UpstreamName
from sandboxes.validation import nearest, validate

_ENDPOINT = re.compile(r"(?P<host>\[[^\]]+\]|[^:\[\]]+):(?P<port>[0-9]{1,5})")
_MAX_PORT = 65_535
_ENGINE_VERSION = re.compile(r"[a-z][a-z-]* [0-9]+(?:\.[0-9]+)*")


class ConfigError(DocumentError):
    """A lockgate.yaml that cannot be used; the text has one line per problem: file, line, column, key path."""


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """`"127.0.0.1:7700"` or `"[::1]:7700"` to host (without brackets) and port. Raises ValueError."""
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None or int(match["port"]) > _MAX_PORT:
        raise ValueError(f'expected "host:port" such as "127.0.0.1:7700" or "[::1]:7700", not "{endpoint}"')
    return canonical_host(match["host"]), int(match["port"])


def _check_endpoint(endpoint: str) -> str:
    split_endpoint(endpoint)
    return endpoint


def _check_engine_version(text: str) -> str:
    if _ENGINE_VERSION.fullmatch(text) is None:
        raise ValueError(f'expected an engine and its exact version, such as "wasmtime 49.0.0", not "{text}"')
    return text


EngineVersion = Annotated[str, AfterValidator(_check_engine_version)]
Endpoint = Annotated[str, AfterValidator(_check_endpoint)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Listen(_Model):
    """Where the API is served. Loopback unless told otherwise; port 0 takes any free one."""

    grpc: Endpoint = Field("127.0.0.1:7700", description='gRPC, "host:port".')
    mcp: Endpoint = Field("127.0.0.1:7701", description='MCP over streamable HTTP, "host:port".')

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.grpc == self.mcp and split_endpoint(self.grpc)[1] != 0:
            raise ValueError(f"grpc and mcp both listen on {self.grpc}")
        return self


class Config(_Model):
    """A lockgate.yaml. Relative paths in it are relative to the directory of the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Lockgate configuration")

    listen: Listen = Field(default_factory=Listen, description="Where the API is served.")
    profiles: tuple[str, ...] = Field((), description="Directories of profiles, beside the shipped ones.")
    images: tuple[str, ...] = Field((), description="Directories of declared images, beside the shipped one.")
    upstreams: dict[UpstreamName, UpstreamConfig] = Field(
        default_factory=dict, description="Where tools come from, by the name programs use: a-z, 0-9 and _."
    )
    portal: Portal = Field(default_factory=Portal, description="What MCP clients are told at once, and how much.")
    secrets: dict[SecretName, SecretSource] = Field(
        default_factory=dict, description="Where the egress proxy finds each secret."
    )
    secret_stores: dict[StoreName, SecretStoreConfig] = Field(
        default_factory=dict, description="Vault, AWS Secrets Manager, 1Password: where secrets with store are kept."
    )
    hosts: Hosts = Field(default_factory=dict, description="Host name to address, instead of DNS.")
    private_services: PrivateServices = Field(
        default_factory=dict,
        description="By host name: reached by rules that name it, at its one port, and by no other name.",
    )
    egress_events: EventSettings = Field(
        default_factory=EventSettings, description="How the record of what met the egress proxy is kept."
    )
    egress_processes: int = Field(
        1, ge=1, le=16, description="Egress processes behind one address, for when one core is not enough."
    )
    held_bytes: Size = Field(
        512 << 20, ge=64 << 20, le=64 << 30, description="Bytes the gateway holds for executions under way, in all."
    )
    kept: Kept = Field(default_factory=Kept, description="What the gateway keeps of executions that have ended.")
    approvals: ApprovalChannels = Field(
        default_factory=ApprovalChannels, description="How approvals are told of and answered from outside."
    )
    store: StoreConfig = Field(default_factory=SqliteStore, description="Where durable records are kept.")
    accept_vulnerable_versions: tuple[EngineVersion, ...] = Field(
        (), description='Engines below their floor to run on all the same, each as "wasmtime 49.0.0".'
    )
    extra_ca_file: str | None = Field(None, description="PEM certificates trusted for upstreams beside the system's.")


def load_config(path: Path) -> Config:
    """The configuration in the file `path`, its relative paths made absolute. Raises ConfigError."""
    try:
        document = read_document(path)
        config = validate(Config, document)
    except DocumentError as error:
        raise ConfigError(error.problems) from None
    if problems := tuple(_undeclared(config, document)):
        raise ConfigError(problems)
    return _resolved(config, path.absolute().parent)


def undeclared_secrets(config: Config, profiles: Iterable[Profile]) -> tuple[str, ...]:
    """One line for each egress rule of a profile that injects a secret which the configuration does not declare."""
    return tuple(
        f'profile "{profile.name}", egress rule "{rule.name}": {_no_secret(injection.secret, config)}'
        for profile in profiles
        for rule in profile.egress.rules
        for injection in rule.injections
        if injection.secret not in config.secrets
    )


def _undeclared(config: Config, document: Document) -> Iterator[Problem]:
    for name, upstream in config.upstreams.items():
        if isinstance(upstream, McpStdioUpstream):
            for secret in sorted(upstream.egress.secrets() - set(config.secrets)):
                rules = ("upstreams", name, "egress")
                yield document.problem(".".join(rules), document.mark(*rules), _no_secret(secret, config))
            continue
        for place, inject in upstream.injections():
            if inject.secret not in config.secrets:
                keys = ("upstreams", name, *place, "secret")
                path = reduce(key_path, keys, "")
                yield document.problem(path, document.mark(*keys), _no_secret(inject.secret, config))
    for name in sorted(config.hosts.keys() & config.private_services.keys()):
        keys = ("private_services", name)
        yield document.problem(f'private_services["{name}"]', document.mark(*keys), "declared under hosts too")
    webhook = config.approvals.webhook
    if webhook is not None and webhook.auth is not None and webhook.auth.secret not in config.secrets:
        keys = ("approvals", "webhook", "auth", "secret")
        yield document.problem(".".join(keys), document.mark(*keys), _no_secret(webhook.auth.secret, config))
    for place, message in dangling(config.secrets, config.secret_stores):
        yield document.problem(".".join(place), document.mark(*place), message)


def _no_secret(secret: str, config: Config) -> str:
    return f'the secret "{secret}" is not declared under secrets{nearest(secret, config.secrets)}'


def _resolved(config: Config, directory: Path) -> Config:
    return config.model_copy(
        update={
            "profiles": tuple(_absolute(directory, path) for path in config.profiles),
            "images": tuple(_absolute(directory, path) for path in config.images),
            "upstreams": {name: _resolved_upstream(upstream, directory) for name, upstream in config.upstreams.items()},
            "secrets": {name: _resolved_secret(source, directory) for name, source in config.secrets.items()},
            "secret_stores": {
                name: _resolved_file(store, "ca_file", directory) for name, store in config.secret_stores.items()
            },
            "store": _resolved_store(config.store, directory),
            "extra_ca_file": config.extra_ca_file and _absolute(directory, config.extra_ca_file),
        }
    )


def _resolved_upstream[U: BaseModel](upstream: U, directory: Path) -> U:
    if isinstance(upstream, McpStdioUpstream):
        return _resolved_file(upstream, "cwd", directory)
    if isinstance(upstream, OpenApiUpstream) and not upstream.document.startswith(("http://", "https://")):
        return _resolved_file(upstream, "document", directory)
    return upstream


def _resolved_store(store: StoreConfig, directory: Path) -> StoreConfig:
    if not isinstance(store, PostgresStore):
        return _resolved_file(store, "path", directory)
    password = store.password and _resolved_file(store.password, "file", directory)
    return _resolved_file(store, "ca_file", directory).model_copy(update={"password": password})


def _resolved_secret(source: SecretSource, directory: Path) -> SecretSource:
    return _resolved_file(_resolved_file(source, "file", directory), "directory", directory)


def _resolved_file[M: BaseModel](model: M, name: str, directory: Path) -> M:
    path = getattr(model, name)
    return model if path is None else model.model_copy(update={name: _absolute(directory, path)})


def _absolute(directory: Path, path: str) -> str:
    return str(directory / Path(path).expanduser())
