"""The proxy's certificate authority and its TLS settings towards clients and upstreams."""

import asyncio
import datetime as dt
import logging
import os
import ssl
import time
from pathlib import Path

import certifi
from mitmproxy import tls
from mitmproxy.addons.tlsconfig import TlsConfig

from .certificate_authority import CertificateAuthority
from .client_certificate import context_with
from .dialer import Destination

_log = logging.getLogger(__name__)
_ENSURE_S = 3_600.0
LOOK_S = 1.0
"""How often the authority is looked at, so that a rotation is followed."""


class Certificates(TlsConfig):
    """mitmproxy's TLS addon on an authority of ours, without its answer to requests for revocation lists."""

    name = "tlsconfig"
    request = None  # type: ignore[assignment]

    def __init__(self, authority: CertificateAuthority, trusted: str) -> None:
        super().__init__()
        self._authority = authority
        self._trusted = trusted
        self._stamp: tuple[int, int] = (0, 0)
        self._ensured = time.monotonic()
        self.look()

    def look(self) -> None:
        """Sign by the authority that is in force now. Certificates made before go with the one before."""
        status = self._authority.key_file.stat()
        stamp = (status.st_mtime_ns, status.st_ino)
        if stamp != self._stamp:
            self.certstore = self._authority.store()
            self._stamp = stamp

    async def follow(self) -> None:
        """Look again and again, and see to it that the authority makes way in time."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self.look()
                if time.monotonic() - self._ensured > _ENSURE_S:
                    self._ensured = time.monotonic()
                    await asyncio.to_thread(self._authority.ensure, dt.datetime.now(dt.UTC))
            except (OSError, ValueError) as error:
                _log.error("the certificate authority cannot be read again: %s", error)  # the one before stays

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
