"""Where tools come from, as an operator writes it in lockgate.yaml, and what may leave for each."""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from sandboxes.egress_rule import EgressRule
from sandboxes.injection import Injection
from sandboxes.injections import Inject, injections_of
from sandboxes.network import Network
from sandboxes.rule_set import RuleSet, rules_for_base_url

_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,99}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Programs write `codemode.NAME`; these already mean something on that object in one of the languages.
_RESERVED = frozenset(
    re.findall(
        r"\w+",
        "and as assert async await break case catch class const continue constructor def default del delete "
        "do elif else enum except export extends false finally for from function global if import in "
        "instanceof is lambda new nonlocal not null or pass raise return super switch then this throw true "
        "try typeof var void while with yield describe search tools",
    )
)


def check_upstream_name(name: str) -> str:
    """A name that is an identifier in both languages: a-z, 0-9 and _, beginning with a letter."""
    if re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name) is None:
        raise ValueError(f'"{name}": the name of an upstream has a-z, 0-9 and _, begins with a letter, and at most 32')
    if name in _RESERVED or name.startswith("lockgate"):
        raise ValueError(f'"{name}" is a reserved word; call the upstream something else')
    return name


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f'"{url}" is not an http or https URL')
    if parts.username is not None or parts.password is not None:
        raise ValueError("a URL holds no credentials; declare a secret and name it under auth")
    if parts.query or parts.fragment:
        raise ValueError(f'"{url}" has a query or a fragment, which a base URL has not')
    return url


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    for name, value in headers.items():
        if _HEADER.fullmatch(name) is None or not value.isprintable():
            raise ValueError(f'"{name}" is not a header of one printable line')
        if name.lower() in ("authorization", "cookie", "proxy-authorization", "host", "content-length"):
            raise ValueError(f'"{name}" is not set here; a credential goes under auth')
    return headers


def _check_variables(env: dict[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if _VARIABLE.fullmatch(name) is None or "\0" in value:
            raise ValueError(f'"{name}" is not an environment variable')
    return env


UpstreamName = Annotated[str, AfterValidator(check_upstream_name)]
BaseUrl = Annotated[str, Field(max_length=2_000), AfterValidator(_check_url)]
Headers = Annotated[dict[str, str], AfterValidator(_check_headers)]
type Credential = Inject
TOGETHER = " + "  # between security schemes whose secrets a call carries together
type Keys = tuple[str | int, ...]
SchemeName = Annotated[str, Field(min_length=1, max_length=200)]
VariableValue = Annotated[str, Field(max_length=500, pattern=r"^[A-Za-z0-9._~:/-]*$")]
Variables = Annotated[dict[str, str], AfterValidator(_check_variables)]


def _check_result_pointer(pointer: str) -> str:
    if re.fullmatch(r"/(?:arguments|result)(?:/[^/]*)*", pointer) is None or not pointer.isprintable():
        raise ValueError(
            f'expected a JSON Pointer into /arguments or /result, such as /result/id, not "{pointer[:80]}"'
        )
    return pointer


ResultPointer = Annotated[str, Field(max_length=500), AfterValidator(_check_result_pointer)]
ToolName = Annotated[str, Field(min_length=1, max_length=200)]


class InverseTool(BaseModel):
    """The call that undoes another of the same upstream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: ToolName = Field(description="The tool that undoes it, by the name programs use.")
    arguments: dict[str, ResultPointer] = Field(
        default_factory=dict,
        max_length=50,
        description="Its arguments by name: JSON Pointers into /arguments and /result of the call to undo.",
    )


class _Upstream(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    call_timeout_ms: int = Field(60_000, ge=100, le=3_600_000, description="A tool call is given up after this.")
    inverses: dict[ToolName, InverseTool] = Field(
        default_factory=dict, max_length=500, description="How to undo a call of a tool, by the name programs use."
    )


class OpenApiUpstream(_Upstream):
    """An HTTP API with an OpenAPI 3.x document."""

    kind: Literal["openapi"]
    document: str = Field(min_length=1, max_length=4_000, description="A file, or an http(s) URL; JSON or YAML.")
    base_url: BaseUrl | None = Field(None, description="Where the API is; without it the upstream stays broken.")
    servers: tuple[BaseUrl, ...] = Field(
        (), max_length=20, description="Further servers that single operations of the document name, as it names them."
    )
    auth: Credential | None = Field(
        None, description="The secret the egress proxy adds, and where, or a list of several. Needs base_url."
    )
    security: dict[SchemeName, Credential] = Field(
        default_factory=dict,
        max_length=20,
        description='Further secrets by the document\'s security schemes, "a + b" for two that are wanted together.',
    )
    variables: dict[SchemeName, VariableValue] = Field(
        default_factory=dict, max_length=20, description="Values of variables in the document's server URLs."
    )
    headers: Headers = Field(default_factory=dict, description="Sent with every call. Not for credentials.")
    networks: tuple[Network, ...] = Field((), description="Private networks the API may be in, as CIDR.")
    idempotency_header: str | None = Field(
        None,
        pattern=r"^[A-Za-z][A-Za-z0-9-]{0,99}$",
        description="The header by which the API knows a request it has had before. With it a call that may have been "
        "made when the service died is made again; without, its outcome is unknown.",
    )
    refresh_s: int = Field(3_600, ge=10, le=30 * 86_400, description="A document at a URL is read again after this.")
    retries: int = Field(2, ge=0, le=10, description="Further requests after an answer of 429, or of 503 to a read.")
    retry_budget_ms: int = Field(10_000, ge=0, le=600_000, description="What all waits of one call may take together.")

    @model_validator(mode="after")
    def _auth_needs_base_url(self) -> Self:
        if self.base_url is None and (self.auth is not None or self.servers or self.security):
            raise ValueError("auth, security and servers need base_url: the document does not decide where requests go")
        return self

    def rule_sets(self, name: str) -> dict[str, RuleSet]:
        """Of every security scheme that has a secret of its own, and of all other calls under the empty name."""
        own = {scheme: self.model_copy(update={"auth": inject}) for scheme, inject in self.security.items()}
        return {"": self.rule_set(name), **{scheme: each.rule_set(name) for scheme, each in own.items()}}

    def injections(self) -> Iterator[tuple[Keys, Injection]]:
        """Every secret it names, with the keys it stands under."""
        yield from _placed(("auth",), self.auth)
        for scheme, inject in self.security.items():
            yield from _placed(("security", scheme), inject)

    def rule_set(self, name: str) -> RuleSet:
        """What may leave for this upstream: calls under its base URL and servers, and the document by GET."""
        bases = (self.base_url, *self.servers) if self.base_url is not None else ()
        rules: list[EgressRule] = []
        for base in dict.fromkeys(bases):
            called = _rule_name(name) if not rules else f"{_rule_name(name)}-{len(rules) + 1}"
            rules += rules_for_base_url(called, base, inject=self.auth, networks=self.networks).rules
        if _is_url(self.document) and not any(_covers(base, self.document) for base in bases):
            document = rules_for_base_url(f"{_rule_name(name)}-document", self.document, networks=self.networks)
            rules += [rule.model_copy(update={"methods": ("GET",)}) for rule in document.rules]
        return RuleSet(rules=tuple(rules))


def _placed(keys: Keys, inject: Credential | None) -> Iterator[tuple[Keys, Injection]]:
    listed = isinstance(inject, tuple)
    for number, injection in enumerate(injections_of(inject)):
        yield (*keys, number) if listed else keys, injection


def _check_aliases(aliases: dict[str, str]) -> dict[str, str]:
    seen: dict[str, str] = {}
    for tool, alias in aliases.items():
        if _ALIAS.fullmatch(alias) is None or alias in _RESERVED:
            raise ValueError(f'"{alias}" is no name for a tool: letters, digits and _, beginning with a letter')
        if alias in seen:
            raise ValueError(f'"{alias}" is the alias of two tools, {seen[alias]} and {tool}')
        seen[alias] = tool
    return aliases


type ToolNames = tuple[Annotated[str, Field(min_length=1, max_length=200)], ...]
type Aliases = Annotated[dict[str, str], AfterValidator(_check_aliases)]


class _McpUpstream(_Upstream):
    kind: Literal["mcp"]
    allow: ToolNames = Field(("*",), max_length=500, description="Its tools to take, by its own names; * is any run.")
    deny: ToolNames = Field((), max_length=500, description="Its tools to leave out, even where allow names them.")
    aliases: Aliases = Field(
        default_factory=dict, max_length=500, description="What its tools are called here, by its own names."
    )
    review: Literal["changes", "all", "none"] = Field(
        "changes",
        description="What is held back until an operator accepts it: changes since first seen, all tools, or nothing.",
    )


class McpStdioUpstream(_McpUpstream):
    """An MCP server that the gateway starts and speaks to over standard input and output."""

    command: tuple[str, ...] = Field(min_length=1, max_length=100, description="The program and its arguments.")
    env: Variables = Field(default_factory=dict, description="Added to a minimal environment. Not for secrets.")
    cwd: str | None = Field(None, description="Its working directory.")
    network: Literal["proxy", "none", "host"] = Field(
        "proxy", description="proxy: the egress proxy and nothing else. none: nothing at all. host: the machine's own."
    )
    egress: RuleSet = Field(default_factory=RuleSet, description="What may leave the server, with network: proxy.")

    @model_validator(mode="after")
    def _egress_needs_proxy(self) -> Self:
        if self.egress.rules and self.network != "proxy":
            raise ValueError(f"egress has rules, and network: {self.network} does not go by them; write network: proxy")
        return self

    def rule_set(self, name: str) -> RuleSet:  # noqa: ARG002 - as its siblings
        """What may leave the server itself."""
        return self.egress

    def rule_sets(self, name: str) -> dict[str, RuleSet]:
        """The one there is, under the empty name."""
        return {"": self.rule_set(name)}

    def injections(self) -> Iterator[tuple[Keys, Injection]]:
        """No secret."""
        yield from ()


class McpHttpUpstream(_McpUpstream):
    """An MCP server spoken to over streamable HTTP, through the egress proxy."""

    url: BaseUrl = Field(description="Its endpoint.")
    auth: Credential | None = Field(
        None, description="The secret the egress proxy adds, and where, or a list of several."
    )
    headers: Headers = Field(default_factory=dict, description="Sent with every request. Not for credentials.")
    networks: tuple[Network, ...] = Field((), description="Private networks the server may be in, as CIDR.")

    def rule_set(self, name: str) -> RuleSet:
        """What may leave for this upstream: requests to its endpoint."""
        return rules_for_base_url(_rule_name(name), self.url, inject=self.auth, networks=self.networks)

    def rule_sets(self, name: str) -> dict[str, RuleSet]:
        """The one there is, under the empty name."""
        return {"": self.rule_set(name)}

    def injections(self) -> Iterator[tuple[Keys, Injection]]:
        """Its secret, if it has one."""
        yield from _placed(("auth",), self.auth)


def _kind_of(value: Any) -> str | None:
    """Which model a mapping is meant for. None where it does not say."""
    held = value if isinstance(value, dict) else dict(getattr(value, "__dict__", {}))
    if held.get("kind") == "mcp":
        return "mcp_http" if "url" in held else "mcp_stdio"
    return "openapi" if held.get("kind") == "openapi" else None


UpstreamConfig = Annotated[
    Annotated[OpenApiUpstream, Tag("openapi")]
    | Annotated[McpStdioUpstream, Tag("mcp_stdio")]
    | Annotated[McpHttpUpstream, Tag("mcp_http")],
    Discriminator(
        _kind_of,
        custom_error_type="upstream_kind",
        custom_error_message="write kind: openapi (with document), or kind: mcp with a command or a url",
    ),
]


def _rule_name(name: str) -> str:
    return f"upstream-{name}"


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _covers(base: str, url: str) -> bool:
    return url.startswith(base.rstrip("/") + "/")
