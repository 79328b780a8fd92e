"""The proxy's certificate authority and its TLS settings towards clients and upstreams."""

import os
import ssl
from pathlib import Path

import certifi
from mitmproxy import tls
from mitmproxy.addons.tlsconfig import TlsConfig
from mitmproxy.certs import CertStore

from .client_certificate import context_with
from .dialer import Destination

_NAME = "lockgate"
_KEY_BITS = 2048


class Certificates(TlsConfig):
    """mitmproxy's TLS addon on a certificate store of ours, without its answer to requests for revocation lists."""

    name = "tlsconfig"
    request = None  # type: ignore[assignment]

    def __init__(self, store: CertStore, trusted: str) -> None:
        super().__init__()
        self.certstore = store
        self._trusted = trusted

    def tls_start_server(self, tls_start: tls.TlsData) -> None:
        """TLS to an upstream: verified by mitmproxy's settings, with the client certificate that the rule names."""
        super().tls_start_server(tls_start)
        destination = getattr(tls_start.conn, "address", None)
        if isinstance(destination, Destination) and destination.certificate is not None:
            assert tls_start.ssl_conn is not None  # made by the line above, which raises if it cannot
            tls_start.ssl_conn.set_context(context_with(destination.certificate, self._trusted))

    def configure(self, _updated: object) -> None:
        """The store is given; nothing is configured by options."""

    def running(self) -> None:
        """Nothing to load any more."""


def load_authority(state_dir: Path) -> tuple[CertStore, Path]:
    """The authority in `state_dir/ca`, made on first use (directory 0700, files 0600), and its certificate's path."""
    directory = state_dir / "ca"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)
    if not (directory / f"{_NAME}-ca.pem").exists():
        _make_authority(directory)
    store = CertStore.from_store(directory, _NAME, _KEY_BITS)
    for file in directory.glob(f"{_NAME}-*"):
        file.chmod(0o600)
    return store, directory / f"{_NAME}-ca-cert.pem"


def _make_authority(directory: Path) -> None:
    """Made beside and moved in, so that a start that breaks off leaves no half of one."""
    fresh = directory / "new"
    fresh.mkdir(mode=0o700, exist_ok=True)
    CertStore.create_store(fresh, _NAME, _KEY_BITS, organization="Lockgate", cn="Lockgate egress")
    for file in sorted(fresh.iterdir(), key=lambda path: path.name == f"{_NAME}-ca.pem"):
        file.replace(directory / file.name)
    fresh.rmdir()


def trust_file(state_dir: Path, extra: str | None) -> str:
    """A PEM file with the certificates upstreams are verified by: the system's (else certifi's), and `extra`'s.

    Raises OSError or ssl.SSLError if `extra` cannot be read as certificates.
    """
    system = ssl.get_default_verify_paths().cafile
    base = system if system and os.path.getsize(system) else certifi.where()  # noqa: PTH202
    if extra is None:
        return base
    ssl.create_default_context(cafile=extra)
    combined = state_dir / "ca" / "trusted.pem"
    temporary = combined.with_suffix(".new")
    temporary.write_bytes(Path(base).read_bytes() + b"\n" + Path(extra).read_bytes())
    temporary.chmod(0o600)
    temporary.replace(combined)
    return str(combined)
