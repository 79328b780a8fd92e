"""Upstream servers for tests: real sockets, answers written byte by byte, everything received kept."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Received:
    """A request as the origin saw it."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def names(self) -> list[str]:
        return [key.lower() for key, _ in self.headers]


Handler = Callable[[Received], bytes | Iterable[bytes]]


def answer(body: bytes = b"ok", status: str = "200 OK", *headers: tuple[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Origin:
    """A threaded HTTP/1.1 server. `connections` counts accepted sockets, `received` keeps requests."""

    def __init__(self, handler: Handler, context: ssl.SSLContext | None = None, family: int = socket.AF_INET) -> None:
        self.handler = handler
        self.received: list[Received] = []
        self.connections = 0
        self.peers: dict[int, dict] = {}  # what each connection's client certificate says
        self._context = context
        self._open: set[socket.socket] = set()
        self._socket = socket.create_server(("127.0.0.1", 0) if family == socket.AF_INET else ("::1", 0), family=family)
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError, ConnectionError, StopIteration, ValueError):  # ValueError: a body broken off
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
                self.peers[number] = connection.getpeercert() or {}
            self._open.add(connection)
            file = connection.makefile("rb")
            with file:
                while (request := _read(file, number)) is not None:
                    self.received.append(request)
                    reply = self.handler(request)
                    for part in [reply] if isinstance(reply, bytes) else reply:
                        connection.sendall(part)
                    if b"connection: close" in (reply if isinstance(reply, bytes) else b"").lower():
                        break
        self._open.discard(connection)
        connection.close()


def _read(file, number: int) -> Received | None:
    line = file.readline()
    if not line.strip():
        return None
    headers: list[tuple[str, str]] = []
    while (raw := file.readline().rstrip(b"\r\n")) != b"":
        name, _, value = raw.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    request = Received(line.decode("latin-1").rstrip("\r\n"), headers, b"", number)
    if (request.header("transfer-encoding") or "").lower() == "chunked":
        request.body = b"".join(_chunks(file))
    else:
        length = int(request.header("content-length") or 0)
        request.body = file.read(length)
        if len(request.body) < length:
            return None  # broken off: no request that a server would act on
    return request


def _line(file) -> bytes:
    line = file.readline().strip()
    if not line:
        raise ConnectionError("broken off in a body")
    return line


def _chunks(file) -> Iterator[bytes]:
    while size := int(_line(file).partition(b";")[0], 16):
        yield file.read(size)
        file.readline()
    while file.readline().strip():
        pass


_SIGNS = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class TestAuthority:
    """A certificate authority for origins."""

    __test__ = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._sign(
            self._name, self._key.public_key(), x509.BasicConstraints(ca=True, path_length=None), _SIGNS
        )
        self.file = directory / "authority.pem"
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, *names: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        certificate = self._sign(subject, key.public_key(), alternatives)
        pem = self._directory / f"{names[0].replace('*', '_')}.pem"
        pem.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def client(self, name: str, *, chained: bool = False, password: bytes | None = None) -> tuple[str, str]:
        """A client's certificate chain and key, each PEM. `chained`: signed by an authority between."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = self._between(name) if chained else self
        chain = [signer._sign(subject, key.public_key())]
        chain += [signer._certificate] if chained else []
        pem = b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in chain)
        hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
        return pem.decode(), secret.decode()

    def _between(self, name: str) -> "TestAuthority":
        directory = self._directory / f"below-{name}"
        directory.mkdir()
        made = TestAuthority(directory)
        made._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"between {name}")])
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        made._certificate = self._sign(made._name, made._key.public_key(), constraints, _SIGNS)
        return made

    def _sign(self, subject, public_key, *extensions) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(self._key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
