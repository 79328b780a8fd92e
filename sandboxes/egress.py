"""What may leave a sandbox: egress rules, the credentials they add, and the settings of the egress proxy.

Deny by default: a request leaves only if one rule allows its host, port, scheme, method and path together.
The first such rule in order decides, and its `inject` is the credential the request carries.
"""

import base64
import binascii
import hashlib
import ipaddress
import json
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .hostname import canonical_host, is_address

Scheme = Literal["http", "https"]
DEFAULT_PORTS: dict[str, int] = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_SEGMENT = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,=:@]|%[0-9A-F]{2})*")
_AMBIGUOUS = re.compile(r"%(?:2[EF]|5C|00)")
_HOP_BY_HOP = {"connection", "host", "content-length", "transfer-encoding", "upgrade", "te", "trailer", "expect"}


def check_host_pattern(pattern: str) -> str:
    """`api.example.com`, `*.example.com` (one label), `**.example.com` (any depth) or `**` (every name)."""
    if pattern == "**":
        return pattern
    if pattern == "*":
        raise ValueError('"*" is not a host pattern; write "**" for every name, or name the hosts')
    if "://" in pattern or "/" in pattern:
        raise ValueError(f'"{pattern}" is a URL; write only the host here, and scheme, port and path in their fields')
    prefix, base = _split_wildcard(pattern)
    if "*" in base:
        raise ValueError(f'"{pattern}": a wildcard is a whole first label; write "*." or "**." and a domain')
    if re.search(r":\d+$", base) and not base.startswith("[") and base.count(":") == 1:
        raise ValueError(f'"{pattern}": write the port in ports, and "{pattern.rsplit(":", 1)[0]}" here')
    host = canonical_host(f"[{base}]" if base.count(":") > 1 and not base.startswith("[") else base)
    if prefix and is_address(host):
        raise ValueError(f'"{pattern}": an address has no subdomains; write "{base}"')
    return prefix + host


def _split_wildcard(pattern: str) -> tuple[str, str]:
    for prefix in ("**.", "*."):
        if pattern.startswith(prefix):
            return prefix, pattern.removeprefix(prefix)
    return "", pattern


def check_path_pattern(pattern: str) -> str:
    """`/a/b` exactly, `/a/*` one segment there, `/a/**` everything below `/a/`."""
    if not pattern.startswith("/"):
        raise ValueError(f'"{pattern}": a path pattern starts with "/"; write "/{pattern}" or "/**" for every path')
    if "?" in pattern or "#" in pattern:
        raise ValueError(
            f'"{pattern}": a path pattern has no query; write "{re.split("[?#]", pattern, maxsplit=1)[0]}"'
        )
    segments = pattern.split("/")[1:]
    for place, segment in enumerate(segments):
        _check_segment(pattern, segment, last=place == len(segments) - 1)
    return pattern


def _check_segment(pattern: str, segment: str, *, last: bool) -> None:
    if segment == "*" or (segment == "**" and last):
        return
    if segment == "**":
        raise ValueError(f'"{pattern}": "**" is only the last segment; write "*" for each segment before it')
    if "*" in segment:
        raise ValueError(f'"{pattern}": a wildcard is a whole segment; write "*" instead of "{segment}"')
    if segment in {".", ".."} or (not segment and not last):
        raise ValueError(f'"{pattern}": write the path without "{segment or "//"}"; requests with it are refused')
    if not _SEGMENT.fullmatch(segment) or _AMBIGUOUS.search(segment):
        raise ValueError(
            f'"{pattern}": "{segment}" is not a plain path segment; percent-encode it in upper-case hexadecimal'
        )


def check_network(text: str) -> str:
    """A network in CIDR form: `10.1.0.0/16`, `127.0.0.1/32`, `::1/128`."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'"{text}" is not a network; write one like "10.1.0.0/16" or "127.0.0.1/32"') from None
    exact = f"{text.partition('/')[0]}/{wider.max_prefixlen}"
    raise ValueError(f'"{text}" has bits below its mask; write "{wider}" for the network or "{exact}" for one address')


def check_method(text: str) -> str:
    """A method in capitals, or `*` for every method but CONNECT."""
    if text == "*":
        return text
    if text.upper() == "CONNECT":
        raise ValueError("CONNECT is never a rule's method: requests inside a tunnel are decided one by one")
    if not _TOKEN.fullmatch(text) or text != text.upper():
        raise ValueError(f'"{text}" is not a method; write it in capitals, like "{text.upper()}"')
    return text


HostPattern = Annotated[str, AfterValidator(check_host_pattern)]
PathPattern = Annotated[str, AfterValidator(check_path_pattern)]
Network = Annotated[str, AfterValidator(check_network)]
Method = Annotated[str, AfterValidator(check_method)]
Port = Annotated[int, Field(ge=1, le=65535)]
SecretName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Name of a secret, not its value")
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, hide_input_in_errors=True)


class Injection(_Model):
    """Which credential the egress proxy adds to a request, and where."""

    secret: SecretName
    as_: Literal["bearer", "header", "basic", "query"] = Field(alias="as", description="How the secret is carried.")
    name: str | None = Field(None, description="Header (as: header) or query parameter (as: query).")
    username: str | None = Field(None, description="as: basic; without it the secret itself is user:password.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.as_ in {"header", "query"} and not self.name:
            what = "header" if self.as_ == "header" else "query parameter"
            raise ValueError(f"as: {self.as_} needs name, the {what} that carries the secret")
        if self.as_ in {"bearer", "basic"} and self.name is not None:
            raise ValueError(
                f"as: {self.as_} always uses the authorization header; leave name out, or write as: header"
            )
        if self.username is not None and (self.as_ != "basic" or ":" in self.username):
            raise ValueError('username goes with as: basic only, and has no ":"')
        if self.as_ == "header" and not _TOKEN.fullmatch(self.name or ""):
            raise ValueError(f'"{self.name}" is not a header name')
        if self.as_ == "header" and (self.name or "").lower() in _HOP_BY_HOP:
            raise ValueError(f'"{self.name}" belongs to the connection and cannot carry a secret')
        return self

    def redacted(self) -> str:
        """What may be shown of it: `ledger-token -> authorization: Bearer ***`."""
        match self.as_:
            case "bearer":
                return f"{self.secret} -> authorization: Bearer ***"
            case "basic":
                return f"{self.secret} -> authorization: Basic ***"
            case "header":
                return f"{self.secret} -> {(self.name or '').lower()}: ***"
            case "query":
                return f"{self.secret} -> ?{self.name}=***"


class EgressRule(_Model):
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
        return self

    def allows_port(self, scheme: str, port: int) -> bool:
        """Whether this rule allows `port` for a request of `scheme`."""
        return port in self.ports if self.ports else port == DEFAULT_PORTS.get(scheme)


class RuleSet(_Model):
    """The egress rules of one profile or of one upstream, known by their digest."""

    rules: tuple[EgressRule, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two rules are called {', '.join(sorted(twice))}; give each its own name")
        return self

    def digest(self) -> str:
        """`sha256:` and the hexadecimal SHA-256 of the set's canonical JSON (sorted keys, no spaces)."""
        return "sha256:" + hashlib.sha256(canonical_json(self.model_dump(mode="json", by_alias=True))).hexdigest()

    def secrets(self) -> frozenset[str]:
        """Names of the secrets that these rules may add."""
        return frozenset(rule.inject.secret for rule in self.rules if rule.inject)


def canonical_json(value: Any) -> bytes:
    """Sorted keys, no white space, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def rules_for_base_url(
    name: str, base_url: str, *, inject: Injection | None = None, networks: tuple[str, ...] = ()
) -> RuleSet:
    """The rule set of an upstream: every method and path under its base URL, with its credential.

    Raises ValueError if the base URL is not a plain http(s) URL.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise ValueError(f'"{base_url}" is not a base URL; write it like "https://api.example.com/v1"')
    prefix = parts.path.rstrip("/")
    paths = [f"{prefix}/**", prefix] if prefix else ["/**"]
    rule = {
        "name": name,
        "hosts": [parts.hostname],
        "ports": [parts.port or DEFAULT_PORTS[parts.scheme]],
        "schemes": [parts.scheme],
        "methods": ["*"],
        "paths": paths,
        "networks": list(networks),
        "inject": inject,
    }
    return RuleSet.model_validate({"rules": [rule]})


class SecretSource(_Model):
    """Where a secret's value is found: an environment variable of the egress proxy, or a file only it need read."""

    env: str | None = Field(None, min_length=1)
    file: str | None = Field(None, min_length=1)

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret comes from exactly one place: write env: VARIABLE or file: PATH")
        return self


class EgressSettings(_Model):
    """Everything the egress proxy is started with: one JSON line on its standard input."""

    listen_host: str = "127.0.0.1"
    listen_port: int = Field(0, ge=0, le=65535, description="0: any free port; the ready line tells which.")
    token_key: str = Field(repr=False, description="Base64 of the key execution tokens are signed with, 32 bytes up.")
    state_dir: str = Field(description="Holds ca/, made on first use with mode 0700.")
    event_file: str | None = Field(description="JSON lines, one per request, mode 0600; null for none.")
    rule_sets: dict[str, RuleSet] = Field(description="By digest.")
    secrets: dict[SecretName, SecretSource] = Field(default_factory=dict)
    own_ports: tuple[Port, ...] = Field(
        (), description="Ports of this service on this machine: refused whatever a rule says."
    )
    hosts: dict[str, str] = Field(
        default_factory=dict, description="Private services: name to address, instead of DNS."
    )
    head_timeout_s: float = Field(15.0, gt=0, description="For a request head to arrive, once it began.")
    extra_ca_file: str | None = Field(None, description="PEM certificates trusted for upstreams beside the system's.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for digest, rules in self.rule_sets.items():
            if rules.digest() != digest:
                raise ValueError(f"rule set {digest} has the digest {rules.digest()}")
        for name, address in self.hosts.items():
            if canonical_host(name) != name or is_address(name):
                raise ValueError(f'hosts: "{name}" is not a host name in canonical form')
            ipaddress.ip_address(address)
        if len(self.key()) < 32:  # noqa: PLR2004 - the output size of SHA-256
            raise ValueError("token_key is shorter than 32 bytes")
        return self

    def key(self) -> bytes:
        """The token key's bytes."""
        try:
            return base64.b64decode(self.token_key, validate=True)
        except binascii.Error:
            raise ValueError("token_key is not base64") from None
