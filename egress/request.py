"""What a request asks for, read from every place that says it. Pure: raw values in, canonical ones or a refusal out."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sandboxes.authority import Authority, agree, parse_authority
from sandboxes.hostname import canonical_host
from sandboxes.target import Target, parse_target

_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_MAX_URL = 16 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class RawRequest:
    """A request head as it arrived. `tunnel` is the authority of the CONNECT it came through, `sni` of its TLS."""

    method: str
    scheme: str
    target_authority: str | None
    target: str
    headers: tuple[tuple[bytes, bytes], ...]
    secure: bool = False
    tunnel: Authority | None = None
    sni: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class CanonicalRequest:
    """A request in the one spelling that is decided on and sent."""

    method: str
    scheme: str
    authority: Authority
    target: Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Denial:
    """Why a request does not leave. `code` is for programs, `reason` for people; neither holds a secret."""

    code: str
    reason: str
    status: int = 403
    rule: str | None = None
    hint: dict[str, Any] | None = None


def read_request(raw: RawRequest) -> CanonicalRequest | Denial:
    """One host, port, scheme and path for the request, or why it has not one."""
    if not _METHOD.fullmatch(raw.method):
        return _malformed("the method is not a token")
    if len(raw.target) > _MAX_URL:
        return Denial(code="malformed", reason=f"the path is longer than {_MAX_URL} characters", status=414)
    if any(_CONTROL.search(name) or _CONTROL.search(value) for name, value in raw.headers):
        return _malformed("a header has a control character or a folded line")
    scheme = raw.scheme.lower()
    if scheme not in {"http", "https"}:
        return _malformed("the scheme is neither http nor https")
    if raw.tunnel is None and not raw.target_authority:
        return _malformed("a request to the proxy names its whole URL: GET https://host/path HTTP/1.1")
    if raw.tunnel is not None and raw.secure != (scheme == "https"):
        return Denial(code="authority", reason="the request's scheme is not its tunnel's")
    try:
        authority = _authority(raw, scheme)
        target = parse_target(raw.target)
    except ValueError as error:
        return _malformed(str(error))
    if isinstance(authority, Denial):
        return authority
    return CanonicalRequest(method=raw.method, scheme=scheme, authority=authority, target=target)


def _authority(raw: RawRequest, scheme: str) -> Authority | Denial:
    """Every place that names the destination, and what they agree on. Raises ValueError for one that is malformed."""
    default = {"http": 80, "https": 443}[scheme]
    hosts = [value.decode("latin-1") for name, value in raw.headers if name.lower() == b"host"]
    if len(hosts) > 1:
        return _malformed("there is more than one Host header")
    if not hosts and not raw.target_authority:
        return _malformed("there is no Host header")
    named: dict[str, Authority] = {}
    if raw.tunnel is not None:
        named["CONNECT"] = raw.tunnel
    if raw.target_authority:
        named["the target"] = parse_authority(raw.target_authority, default)
    if hosts:
        named["Host"] = parse_authority(hosts[0], default)
    if raw.sni is not None and raw.tunnel is not None:
        named["the TLS server name"] = Authority(canonical_host(raw.sni), raw.tunnel.port)
    agreed, conflict = agree(named)
    return agreed or Denial(code="authority", reason=f"the request names two destinations: {conflict}")


def _malformed(reason: str) -> Denial:
    return Denial(code="malformed", reason=reason, status=400)


def connect_authority(target: str, headers: Iterable[tuple[bytes, bytes]]) -> Authority | Denial:
    """Where a CONNECT goes; its Host header, if any, must say the same."""
    try:
        wanted = parse_authority(target, None)
        said = [value.decode("latin-1") for name, value in headers if name.lower() == b"host"]
        hosts = [parse_authority(value, wanted.port) for value in said]
    except ValueError as error:
        return Denial(code="malformed", reason=str(error), status=400)
    if len(hosts) > 1 or any(host != wanted for host in hosts):
        return Denial(code="authority", reason="CONNECT and Host name different destinations")
    return wanted
