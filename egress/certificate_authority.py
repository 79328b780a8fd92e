"""The proxy's certificate authority on disk: made on first use, rotated, always trusted one step ahead.

`ca/` holds the present authority, `ca/next/` the one after it, and `ca/lockgate-ca-cert.pem` the certificates of both
and of earlier ones until they expire. Who loaded that file before a rotation trusts what is signed after it.

`python -m egress.certificate_authority STATE_DIR ensure|rotate|replace` is how the command line does it.
"""

import datetime as dt
import fcntl
import json
import os
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from mitmproxy.certs import CertStore

NAME = "lockgate"
KEY_BITS = 2048
RENEW_BEFORE = dt.timedelta(days=30)
"""How long before its end an authority makes way for the next."""

MOST_EARLIER = 8
"""Earlier authorities kept in the bundle."""

_KEY = f"{NAME}-ca.pem"


class CertificateAuthority:
    """The authority in `state_dir/ca`: directory 0700, files 0600. Any number of processes may use one."""

    def __init__(self, state_dir: Path) -> None:
        self.directory = state_dir / "ca"
        self._next = self.directory / "next"
        self._earlier = self.directory / f"{NAME}-earlier.pem"

    @property
    def key_file(self) -> Path:
        """Key and certificate of the present authority. It changes when the authority does."""
        return self.directory / _KEY

    @property
    def bundle(self) -> Path:
        """Every certificate to trust, PEM."""
        return self.directory / f"{NAME}-ca-cert.pem"

    def ensure(self, now: dt.datetime) -> None:
        """Make what is missing, and rotate if the present authority ends soon."""
        with self._locked():
            if not self.key_file.exists():
                self._install(_make(self.directory / "new"))
            self._complete(now)
            if self._present().not_valid_after_utc - now < RENEW_BEFORE:
                self._rotate(now)

    def rotate(self, now: dt.datetime, *, replace: bool = False) -> None:
        """Go over to the next authority. `replace`: to one that nobody trusts yet, and distrust all before it."""
        self.ensure(now)
        with self._locked():
            if replace:
                self._earlier.unlink(missing_ok=True)
                shutil.rmtree(self._next, ignore_errors=True)
                self._install(_make(self.directory / "new"))
                self._complete(now)
            else:
                self._rotate(now)

    def store(self) -> CertStore:
        """Signs certificates for hosts by the present authority, and keeps the latest hundred."""
        return CertStore.from_store(self.directory, NAME, KEY_BITS)

    def fingerprints(self) -> list[str]:
        """SHA-256 of each certificate in the bundle, the present one first."""
        return [certificate.fingerprint(SHA256()).hex() for certificate in _read(self.bundle)]

    def _present(self) -> x509.Certificate:
        return _read(self.key_file)[0]

    def _rotate(self, now: dt.datetime) -> None:
        before = self._present()
        earlier = [before, *_read(self._earlier)][:MOST_EARLIER]
        _write(self._earlier, b"".join(map(_pem, earlier)))
        self._install(self._next)
        self._complete(now)

    def _complete(self, now: dt.datetime) -> None:
        """The next authority and the bundle, from what is there."""
        if not (self._next / _KEY).exists():
            shutil.rmtree(self._next, ignore_errors=True)
            _make(self.directory / "new").replace(self._next)
        trusted = [self._present(), *_read(self._next / _KEY), *_read(self._earlier)]
        lasting = [certificate for certificate in trusted if certificate.not_valid_after_utc > now]
        _write(self.bundle, b"".join(map(_pem, dict.fromkeys(lasting))))

    def _install(self, fresh: Path) -> None:
        """Move an authority in, its key last, so that a move that breaks off leaves the one before in force."""
        for file in sorted(fresh.iterdir(), key=lambda path: path.name == _KEY):
            if file.name != self.bundle.name:
                file.replace(self.directory / file.name)
        shutil.rmtree(fresh)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.directory.chmod(0o700)
        lock = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
            for file in self.directory.rglob(f"{NAME}-*"):
                file.chmod(0o600)
        finally:
            os.close(lock)


def _make(directory: Path) -> Path:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    name = f"Lockgate egress {secrets.token_hex(4)}"
    CertStore.create_store(directory, NAME, KEY_BITS, organization="Lockgate", cn=name)
    return directory


def _read(path: Path) -> list[x509.Certificate]:
    return x509.load_pem_x509_certificates(path.read_bytes()) if path.exists() and path.stat().st_size else []


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_bytes(data)
    fresh.chmod(0o600)
    fresh.replace(path)


def main() -> None:
    """Prints one JSON line with the bundle's path and fingerprints."""
    state_dir, action = sys.argv[1:]
    os.umask(0o077)
    authority = CertificateAuthority(Path(state_dir))
    now = dt.datetime.now(dt.UTC)
    if action == "ensure":
        authority.ensure(now)
    else:
        authority.rotate(now, replace=action == "replace")
    told = {"bundle": str(authority.bundle), "fingerprints": authority.fingerprints()}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
