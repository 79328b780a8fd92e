"""One egress rule: a permission to reach something, with the credential it adds.

A request matches if the rule allows its host, port, scheme, method and path together, and all that the rule
says of query, headers and body holds of it.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .body_rule import HELD_BODY, MAX_HELD_BODY, BodyRule
from .field_rule import FieldRule
from .graphql_operation import GraphqlRule
from .host_pattern import HostPattern
from .injection import Injection
from .injections import Inject, injections_of
from .json_rpc import JsonRpcRule
from .mcp_message import McpRule
from .model import FrozenModel
from .network import Network
from .path_pattern import PathPattern

Scheme = Literal["http", "https"]
DEFAULT_PORTS: dict[str, int] = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2

MAX_QUERY_FIELDS = 100
_NOT_CONSTRAINED = {
    "authorization", "connection", "content-encoding", "content-length", "content-type", "cookie", "expect", "host",
    "te", "trailer", "transfer-encoding", "upgrade", "x-api-key",
}  # fmt: skip


def check_method(text: str) -> str:
    """A method in capitals, or `*` for every method but CONNECT."""
    if text == "*":
        return text
    if text.upper() == "CONNECT":
        raise ValueError("CONNECT is never a rule's method: requests inside a tunnel are decided one by one")
    if not _TOKEN.fullmatch(text) or text != text.upper():
        raise ValueError(f'"{text}" is not a method; write it in capitals, like "{text.upper()}"')
    return text


def check_header_name(name: str) -> str:
    """A header in lower case that a client may set: no credential, and nothing of the connection's."""
    if not _TOKEN.fullmatch(name) or name != name.lower():
        raise ValueError(f'"{name}" is not a header name in lower case')
    if name in _NOT_CONSTRAINED or name.startswith(("lockgate-", "proxy-")):
        raise ValueError(f'"{name}" is set by the proxy or carries a credential; a rule cannot depend on it')
    return name


Method = Annotated[str, AfterValidator(check_method)]
HeaderName = Annotated[str, AfterValidator(check_header_name)]
ParameterName = Annotated[str, Field(min_length=1, max_length=256)]
Port = Annotated[int, Field(ge=1, le=65535)]


class EgressRule(FrozenModel):
    """One permission to reach something. Hosts and paths are always written; other lists default to the narrowest."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Shown in events and refusals.")
    hosts: tuple[HostPattern, ...] = Field(min_length=1, description="api.x.com, *.x.com (one label), **.x.com, **.")
    ports: tuple[Port, ...] = Field((), description="Empty: the default port of each scheme.")
    schemes: tuple[Scheme, ...] = Field(("https",), min_length=1)
    methods: tuple[Method, ...] = Field(("GET", "HEAD"), min_length=1, description='In capitals; "*" for every method.')
    paths: tuple[PathPattern, ...] = Field(min_length=1, description="/a exactly, /a/* one segment, /a/** below /a/.")
    query: dict[ParameterName, FieldRule] = Field(
        default_factory=dict, max_length=MAX_QUERY_FIELDS, description="Query parameters by name; others are free."
    )
    query_exact: bool = Field(default=False, description="No parameters but those under query.")
    headers: dict[HeaderName, FieldRule] = Field(
        default_factory=dict, max_length=100, description="Headers by name in lower case; others are free."
    )
    body: BodyRule | None = Field(None, description="Type and size of the body.")
    jsonrpc: JsonRpcRule | None = Field(None, description="The body is JSON-RPC 2.0 and calls only these methods.")
    mcp: McpRule | None = Field(None, description="The body is MCP and calls only these tools.")
    graphql: GraphqlRule | None = Field(None, description="The request is GraphQL and runs only such operations.")
    networks: tuple[Network, ...] = Field((), description="Private or special networks this rule may reach, as CIDR.")
    inject: Inject | None = Field(None, description="The credential added on the way out, or a list of several.")
    record_body_bytes: int = Field(
        0, ge=0, le=64 << 10, description="Bytes of each body kept in the event, without secrets; 0 for none."
    )

    @model_validator(mode="after")
    def _no_secret_in_clear(self) -> Self:
        if self.injections and "http" in self.schemes and not self.networks:
            raise ValueError(
                f'rule "{self.name}" would send {self.injections[0].secret} in clear text; write schemes: [https], '
                "or name the private networks it goes to in networks"
            )
        if "http" in self.schemes and any(injection.as_ == "mtls" for injection in self.injections):
            raise ValueError(f'rule "{self.name}": a client certificate needs TLS; write schemes: [https]')
        return self

    @model_validator(mode="after")
    def _one_reading_of_a_body(self) -> Self:
        said = [name for name in ("jsonrpc", "mcp", "graphql") if getattr(self, name) is not None]
        if len(said) > 1:
            raise ValueError(f'rule "{self.name}" reads bodies as {" and as ".join(said)}; write a rule for each')
        if said and self.body is not None and (self.body.max_bytes or 0) > MAX_HELD_BODY:
            raise ValueError(f"bodies that have to be read have at most {MAX_HELD_BODY} bytes; write less in max_bytes")
        return self

    @property
    def injections(self) -> tuple[Injection, ...]:
        """Every credential it adds."""
        return injections_of(self.inject)

    def reads_body(self) -> bool:
        """Whether the rule can be decided only with the body's bytes."""
        return self.jsonrpc is not None or self.mcp is not None or self.graphql is not None

    def body_limit(self) -> int | None:
        """The most bytes a request's body may have under this rule, or None for any number."""
        said = self.body.max_bytes if self.body else None
        return HELD_BODY if said is None and self.reads_body() else said

    def ports_for(self, scheme: Scheme) -> tuple[int, ...]:
        """The ports that this rule allows for a scheme it names."""
        return self.ports or (DEFAULT_PORTS[scheme],)

    def allows_port(self, scheme: str, port: int) -> bool:
        """Whether this rule allows `port` for a request of `scheme`."""
        return port in self.ports if self.ports else port == DEFAULT_PORTS.get(scheme)
