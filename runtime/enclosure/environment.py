"""The variables by which programs find a proxy and the certificates to trust."""

from collections.abc import Mapping
from typing import Final

_PROXY: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_NO_PROXY: Final = "NO_PROXY"
_BUNDLES: Final = (
    "SSL_CERT_FILE",  # OpenSSL, Python, Go, Ruby, Rust's native roots
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "DENO_CERT",
    "NIX_SSL_CERT_FILE",
    "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH",
)
_REMOVED: Final = ("SSL_CERT_DIR", "NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_NO_VERIFY", "PYTHONHTTPSVERIFY")


def proxy_environment(url: str, ca_file: str) -> dict[str, str]:
    """For a child whose proxy is at `url`. Nothing is exempt: what is not the proxy's is refused there."""
    names = [*_PROXY, *(name.lower() for name in _PROXY)]
    found = dict.fromkeys(names, url) | dict.fromkeys((_NO_PROXY, _NO_PROXY.lower()), "")
    return found | dict.fromkeys(_BUNDLES, ca_file) | {"NODE_USE_ENV_PROXY": "1"}


def without_network(environment: Mapping[str, str], more: frozenset[str] = frozenset()) -> dict[str, str]:
    """An environment without what it says of proxies and certificates, and without `more`."""
    names = {*_PROXY, _NO_PROXY, *_BUNDLES, *_REMOVED, *more}
    return {name: value for name, value in environment.items() if name not in names and name.upper() not in names}
