"""Where secrets are kept outside this machine: HashiCorp Vault, AWS Secrets Manager, 1Password Connect."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .secret_name import SecretName


def check_service_url(url: str) -> str:
    """An http(s) URL with a host and without credentials, query or fragment; plain http to this machine only."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f'"{url}" is not an http or https URL')
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError("the URL has credentials, a query or a fragment, which do not belong here")
    if parts.scheme == "http" and parts.hostname not in {"127.0.0.1", "::1", "localhost"}:
        raise ValueError(f'"{url}" would carry secrets in clear text; write https')
    return url


ServiceUrl = Annotated[str, Field(max_length=2_000), AfterValidator(check_service_url)]
StoreName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Name of a secret store")]


class _Store(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    ttl_s: float = Field(300.0, ge=0.05, le=86_400, description="A value is asked for again after this, in seconds.")
    grace_s: float = Field(
        300.0, ge=0, le=86_400, description="While the store fails, the last value serves this much longer."
    )
    timeout_s: float = Field(5.0, ge=0.05, le=9.0, description="One reading is given up after this, in seconds.")
    ca_file: str | None = Field(
        None, description="PEM certificates this store is verified by, instead of the system's."
    )


class VaultStore(_Store):
    """HashiCorp Vault, or what speaks its HTTP API: the key/value engine, version 2."""

    kind: Literal["vault"]
    url: ServiceUrl = Field(description="Such as https://vault.example.com:8200.")
    mount: str = Field("secret", min_length=1, max_length=200, description="Where the engine is mounted.")
    namespace: str | None = Field(None, max_length=200, description="Of Vault Enterprise.")
    auth: Literal["token", "approle", "kubernetes"] = Field("token", description="How Lockgate logs in.")
    token: SecretName | None = Field(None, description="auth: token; the secret that holds it.")
    role_id: str | None = Field(None, max_length=200, description="auth: approle.")
    secret_id: SecretName | None = Field(None, description="auth: approle; the secret that holds it.")
    role: str | None = Field(None, max_length=200, description="auth: kubernetes.")
    service_token: SecretName | None = Field(
        None, description="auth: kubernetes; the secret that holds the service account's token, mostly a file."
    )
    login_path: str | None = Field(None, max_length=200, description="Where the auth method is mounted.")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"token": ("token",), "approle": ("role_id", "secret_id"), "kubernetes": ("role", "service_token")}
        for auth, names in needed.items():
            for name in names:
                if (getattr(self, name) is None) == (auth == self.auth):
                    raise ValueError(f"{name} goes with auth: {auth}, and auth: {auth} with {name}")
        return self

    def credentials(self) -> tuple[str, ...]:
        """The secrets it logs in with."""
        return tuple(name for name in (self.token, self.secret_id, self.service_token) if name is not None)


class AwsStore(_Store):
    """AWS Secrets Manager. Without keys of its own it takes those the machine has (environment, role)."""

    kind: Literal["aws"]
    region: str = Field(pattern=r"^[a-z0-9-]{1,40}$", description="Such as eu-central-1.")
    url: ServiceUrl | None = Field(None, description="Instead of the region's public endpoint.")
    access_key_id: str | None = Field(None, pattern=r"^[A-Za-z0-9_]{16,128}$")
    secret_access_key: SecretName | None = Field(None, description="The secret that holds it.")

    @model_validator(mode="after")
    def _both(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key go together")
        return self

    def credentials(self) -> tuple[str, ...]:
        """The secrets it logs in with."""
        return () if self.secret_access_key is None else (self.secret_access_key,)


class OnePasswordStore(_Store):
    """1Password, through a Connect server."""

    kind: Literal["onepassword"]
    url: ServiceUrl = Field(description="The Connect server.")
    token: SecretName = Field(description="The secret that holds the Connect token.")
    vault: str = Field(min_length=1, max_length=200, description="Title or identifier of the vault.")

    def credentials(self) -> tuple[str, ...]:
        """The secrets it logs in with."""
        return (self.token,)


SecretStoreConfig = Annotated[VaultStore | AwsStore | OnePasswordStore, Field(discriminator="kind")]
