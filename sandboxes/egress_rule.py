"""One egress rule: a permission to reach something, with the credential it adds.

A request matches if the rule allows its host, port, scheme, method and path together.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .host_pattern import HostPattern
from .injection import Injection
from .model import FrozenModel
from .network import Network
from .path_pattern import PathPattern

Scheme = Literal["http", "https"]
DEFAULT_PORTS: dict[str, int] = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


def check_method(text: str) -> str:
    """A method in capitals, or `*` for every method but CONNECT."""
    if text == "*":
        return text
    if text.upper() == "CONNECT":
        raise ValueError("CONNECT is never a rule's method: requests inside a tunnel are decided one by one")
    if not _TOKEN.fullmatch(text) or text != text.upper():
        raise ValueError(f'"{text}" is not a method; write it in capitals, like "{text.upper()}"')
    return text


Method = Annotated[str, AfterValidator(check_method)]
Port = Annotated[int, Field(ge=1, le=65535)]


class EgressRule(FrozenModel):
    """One permission to reach something. Hosts and paths are always written; other lists default to the narrowest."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Shown in events and refusals.")
    hosts: tuple[HostPattern, ...] = Field(min_length=1, description="api.x.com, *.x.com (one label), **.x.com, **.")
    ports: tuple[Port, ...] = Field((), description="Empty: the default port of each scheme.")
    schemes: tuple[Scheme, ...] = Field(("https",), min_length=1)
    methods: tuple[Method, ...] = Field(("GET", "HEAD"), min_length=1, description='In capitals; "*" for every method.')
    paths: tuple[PathPattern, ...] = Field(min_length=1, description="/a exactly, /a/* one segment, /a/** below /a/.")
    networks: tuple[Network, ...] = Field((), description="Private or special networks this rule may reach, as CIDR.")
    inject: Injection | None = Field(None, description="The credential added on the way out.")

    @model_validator(mode="after")
    def _no_secret_in_clear(self) -> Self:
        if self.inject is not None and "http" in self.schemes and not self.networks:
            raise ValueError(
                f'rule "{self.name}" would send {self.inject.secret} in clear text; write schemes: [https], '
                "or name the private networks it goes to in networks"
            )
        if self.inject is not None and self.inject.as_ == "mtls" and "http" in self.schemes:
            raise ValueError(f'rule "{self.name}": a client certificate needs TLS; write schemes: [https]')
        return self

    def allows_port(self, scheme: str, port: int) -> bool:
        """Whether this rule allows `port` for a request of `scheme`."""
        return port in self.ports if self.ports else port == DEFAULT_PORTS.get(scheme)
