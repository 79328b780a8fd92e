"""Where a secret's value is found, as an operator writes it in lockgate.yaml. Never the value itself."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .network import Network
from .secret_name import SecretName
from .secret_store import SecretStoreConfig, ServiceUrl, StoreName


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


def _check_key(key: str) -> str:
    if "/" in key or "\0" in key or key.startswith("."):
        raise ValueError(f'"{key}" is not the name of a file in the directory')
    return key


FileKey = Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_check_key)]


class OAuth2Source(_Model):
    """An access token that the proxy fetches itself, keeps, and fetches anew before it expires (RFC 6749)."""

    token_url: ServiceUrl = Field(description="The token endpoint.")
    grant: Literal["client_credentials", "refresh_token"] = Field("client_credentials")
    client_id: str = Field(min_length=1, max_length=500)
    client_secret: SecretName | None = Field(None, description="The secret that holds it; none for public clients.")
    refresh_token: SecretName | None = Field(None, description="grant: refresh_token; the secret that holds it.")
    client_auth: Literal["basic", "post"] = Field("basic", description="How the client says who it is.")
    scopes: tuple[Annotated[str, Field(pattern=r"^[!#-\[\]-~]{1,200}$")], ...] = Field((), max_length=100)
    audience: str | None = Field(None, max_length=500, description="For servers that want one.")
    networks: tuple[Network, ...] = Field((), description="Private networks the token endpoint may be in, as CIDR.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if (self.refresh_token is None) == (self.grant == "refresh_token"):
            raise ValueError("refresh_token goes with grant: refresh_token, and the other way round")
        if self.grant == "client_credentials" and self.client_secret is None:
            raise ValueError("grant: client_credentials needs client_secret")
        return self

    def credentials(self) -> tuple[str, ...]:
        """The secrets it is made from."""
        return tuple(name for name in (self.client_secret, self.refresh_token) if name is not None)


class GitHubAppSource(_Model):
    """An installation token of a GitHub App, fetched by the proxy with the App's private key."""

    app_id: str = Field(pattern=r"^[A-Za-z0-9._-]{1,100}$", description="The App's identifier or client identifier.")
    installation_id: int = Field(ge=1)
    private_key: SecretName = Field(description="The secret that holds the App's RSA key as PEM.")
    repositories: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")], ...] = Field(
        (), max_length=500, description="Narrow the token to these; empty: all of the installation."
    )
    permissions: dict[str, Literal["read", "write", "admin"]] = Field(
        default_factory=dict, description="Narrow the token to these; empty: all of the installation."
    )
    url: ServiceUrl = Field("https://api.github.com", description="Of a GitHub Enterprise server: https://HOST/api/v3.")
    networks: tuple[Network, ...] = Field((), description="Private networks the server may be in, as CIDR.")

    def credentials(self) -> tuple[str, ...]:
        """The secrets it is made from."""
        return (self.private_key,)


class SecretSource(_Model):
    """Where a secret's value is found: on this machine, in a secret store, or made from another secret."""

    env: str | None = Field(None, min_length=1, description="A variable of the egress proxy's environment.")
    file: str | None = Field(None, min_length=1, description="A file that only the egress proxy need read.")
    directory: str | None = Field(None, min_length=1, description="A directory of files, with key: one file of it.")
    key: FileKey | None = Field(None, description="The file's name in directory.")
    store: StoreName | None = Field(None, description="One of secret_stores, with path.")
    path: str | None = Field(None, min_length=1, max_length=500, description="Which entry of the store.")
    field: str | None = Field(None, min_length=1, max_length=200, description="Which field of the entry.")
    oauth2: OAuth2Source | None = Field(None, description="An access token, fetched when needed.")
    github_app: GitHubAppSource | None = Field(None, description="An installation token, fetched when needed.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        places = (self.env, self.file, self.directory, self.store, self.oauth2, self.github_app)
        if sum(place is not None for place in places) != 1:
            raise ValueError(
                "a secret comes from exactly one place: write env: VARIABLE, file: PATH, directory: PATH with key, "
                "store: NAME with path, oauth2 or github_app"
            )
        if (self.directory is None) != (self.key is None):
            raise ValueError("directory and key go together: the directory, and which file in it")
        if (self.store is None) != (self.path is None) or (self.field is not None and self.store is None):
            raise ValueError("store and path go together, field with them")
        return self

    @property
    def local(self) -> bool:
        """Whether it is read on this machine."""
        return self.env is not None or self.file is not None or self.directory is not None

    @property
    def derived(self) -> OAuth2Source | GitHubAppSource | None:
        """What makes it from other secrets."""
        return self.oauth2 or self.github_app


def dangling(
    sources: Mapping[str, SecretSource], stores: Mapping[str, SecretStoreConfig]
) -> Iterator[tuple[tuple[str, ...], str]]:
    """References that lead nowhere, or in a circle: the keys they stand under, and what is wrong."""
    for name, store in stores.items():
        for wanted in store.credentials():
            if wanted not in sources:
                yield ("secret_stores", name), f'the secret "{wanted}" is not declared under secrets'
            elif not sources[wanted].local:
                yield ("secret_stores", name), f'the secret "{wanted}" must come from env, file or directory'
    for name, source in sources.items():
        if source.store is not None and source.store not in stores:
            yield ("secrets", name, "store"), f'the store "{source.store}" is not declared under secret_stores'
        for wanted in source.derived.credentials() if source.derived else ():
            if wanted not in sources:
                yield ("secrets", name), f'the secret "{wanted}" is not declared under secrets'
            elif sources[wanted].derived:
                yield ("secrets", name), f'the secret "{wanted}" is itself made from others'
