"""What the egress proxy costs: added latency, throughput, memory.

Each round starts a proxy and an origin, and measures both ways against that origin in turn. Requests are
HTTPS with keep-alive: through the proxy in absolute form, as the gateway sends them.
"""

import base64
import datetime as dt
import json
import multiprocessing
import os
import secrets
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from sandboxes.budgets import SERVICE_TERMS
from sandboxes.egress_rule import EgressRule
from sandboxes.injection import BearerInjection
from sandboxes.rule_set import RuleSet
from sandboxes.token import SERVICE, TokenClaims, sign_token

PARALLEL = 20
PER_CONNECTION = 150
STREAM_BYTES = 200 << 20
NAME = "origin.bench.test"
BODY = b'{"ok":true,"items":[' + b"1," * 200 + b"0]}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A running proxy and origin."""

    proxy: subprocess.Popen[bytes]
    port: int
    origin_port: int
    authority: str
    plain: str
    credentialed: str


def one_round(count: int) -> Round:
    """Every figure once, each part against the same origin and proxy."""
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        key, certificate = make_certificate(state)
        ready: multiprocessing.Queue[int] = multiprocessing.Queue()
        origin = multiprocessing.Process(target=serve, args=(str(key), ready), daemon=True)
        origin.start()
        origin_port = ready.get(timeout=20)
        started = time.perf_counter()
        bench = start_proxy(state, str(certificate), origin_port)
        measured = Round(figures={"startup_ms": (time.perf_counter() - started) * 1000})
        try:
            measured.add(measure(bench, count))
        finally:
            assert bench.proxy.stdin is not None
            bench.proxy.stdin.close()
            bench.proxy.wait(10)
            origin.terminate()
            origin.join()
    return measured


def measure(bench: Bench, count: int) -> Round:
    """Latency one by one, throughput in parallel, memory at rest and while streaming."""
    measured = Round(figures={"rest_pss_mb": pss(bench.proxy.pid)})
    context = ssl.create_default_context(cafile=bench.authority)
    direct = context.wrap_socket(connect(bench.origin_port), server_hostname=NAME)
    latencies: dict[str, list[float]] = {"direct": [], "proxied": [], "credentialed": []}
    lines = {"direct": request("/", bench), "proxied": proxied("/", bench.plain, bench)}
    lines["credentialed"] = proxied("/", bench.credentialed, bench)
    wires = {"direct": direct, "proxied": connect(bench.port), "credentialed": connect(bench.port)}
    for turn in range(count + 50):
        for way, wire in wires.items():
            begun = time.perf_counter()
            exchange(wire, lines[way])
            if turn >= 50:
                latencies[way].append((time.perf_counter() - begun) * 1000)
    for wire in wires.values():
        wire.close()
    for way, values in latencies.items():
        measured.sample(f"{way}_ms", values)
    figures = measured.figures
    figures["added_p50_ms"] = figures["proxied_p50_ms"] - figures["direct_p50_ms"]
    figures["added_credentialed_p50_ms"] = figures["credentialed_p50_ms"] - figures["direct_p50_ms"]
    figures |= throughput(bench) | streaming(bench)
    return measured


def throughput(bench: Bench) -> dict[str, float]:
    """Requests a second over PARALLEL connections, and what the proxy could do with a core for itself."""
    line = proxied("/", bench.plain, bench)
    wires = [connect(bench.port) for _ in range(PARALLEL)]
    for wire in wires:
        exchange(wire, line)
    cpu, begun = cpu_seconds(bench.proxy.pid), time.perf_counter()
    threads = [threading.Thread(target=hammer, args=(wire, line)) for wire in wires]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed, spent = time.perf_counter() - begun, cpu_seconds(bench.proxy.pid) - cpu
    for wire in wires:
        wire.close()
    count = PARALLEL * PER_CONNECTION
    return {"throughput_per_s": count / elapsed, "throughput_per_core_per_s": count / spent}


def hammer(wire: socket.socket, line: bytes) -> None:
    """One connection's share."""
    for _ in range(PER_CONNECTION):
        exchange(wire, line)


def streaming(bench: Bench) -> dict[str, float]:
    """The proxy's largest resident memory after a response of STREAM_BYTES, secrets searched for on the way."""
    figures = {}
    for way, token in (("stream", bench.plain), ("credentialed_stream", bench.credentialed)):
        wire = connect(bench.port)
        wire.sendall(proxied("/large", token, bench))
        begun, got = time.perf_counter(), 0
        while got < STREAM_BYTES and (part := wire.recv(1 << 18)):
            got += len(part)
        figures[f"{way}_mb_per_s"] = STREAM_BYTES / 1e6 / (time.perf_counter() - begun)
        wire.close()
    figures["stream_200mb_peak_rss_mb"] = status_mb(bench.proxy.pid, "VmHWM:")
    return figures


def connect(port: int) -> socket.socket:
    """A connection on loopback."""
    made = socket.create_connection(("127.0.0.1", port), timeout=30)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return made


def request(path: str, bench: Bench) -> bytes:
    """A request in origin form."""
    return f"GET {path} HTTP/1.1\r\nHost: {NAME}:{bench.origin_port}\r\n\r\n".encode()


def proxied(path: str, token: str, bench: Bench) -> bytes:
    """A request in absolute form."""
    authority = f"{NAME}:{bench.origin_port}"
    head = f"GET https://{authority}{path} HTTP/1.1\r\nHost: {authority}\r\nProxy-Authorization: Bearer {token}\r\n\r\n"
    return head.encode()


def exchange(wire: socket.socket, line: bytes) -> None:
    """Send a request and read its answer to the end: a known length, or chunks."""
    wire.sendall(line)
    got = b""
    while not got.endswith((BODY, b"\r\n0\r\n\r\n")):
        part = wire.recv(65536)
        if not part:
            raise EOFError(got[:300])
        got += part
    if b" 200 " not in got[:40]:
        raise RuntimeError(got[:300])


def serve(pem: str, ready: "multiprocessing.Queue[int]") -> None:
    """The origin: TLS, one thread per connection, the same answer every time, or STREAM_BYTES for /large."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    ready.put(listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=answer_all, args=(connection, context), daemon=True).start()


def answer_all(connection: socket.socket, context: ssl.SSLContext) -> None:
    """Answer one connection's requests."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    reply = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    large = f"HTTP/1.1 200 OK\r\nContent-Length: {STREAM_BYTES}\r\n\r\n".encode()
    piece = os.urandom(1 << 20)
    try:
        with context.wrap_socket(connection, server_side=True) as secure:
            while data := secure.recv(65536):
                if not data.startswith(b"GET /large"):
                    secure.sendall(reply)
                    continue
                secure.sendall(large)
                for _ in range(STREAM_BYTES // len(piece)):
                    secure.sendall(piece)
    except OSError:
        pass


def start_proxy(state: Path, authority: str, origin_port: int) -> Bench:
    """A proxy with one rule set without and one with a credential."""
    key = secrets.token_bytes(32)
    base = EgressRule(
        name="bench",
        hosts=(NAME,),
        ports=(origin_port,),
        methods=("*",),
        paths=("/**",),
        networks=("127.0.0.0/8",),
    )
    plain = RuleSet(rules=(base,))
    injecting = base.model_copy(update={"inject": BearerInjection(secret="token")})
    credentialed = RuleSet(rules=(injecting,))
    settings = {
        "token_key": base64.b64encode(key).decode(),
        "state_dir": str(state),
        "event_file": str(state / "egress.jsonl"),
        "rule_sets": {rules.digest(): rules.model_dump(mode="json", by_alias=True) for rules in (plain, credentialed)},
        "secrets": {"token": {"env": "BENCH_TOKEN"}},
        "terms": {SERVICE: SERVICE_TERMS.model_dump(mode="json")},
        "hosts": {NAME: "127.0.0.1"},
        "extra_ca_file": authority,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "egress"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "BENCH_TOKEN": secrets.token_urlsafe(32)},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(settings).encode() + b"\n")
    process.stdin.flush()
    ready = json.loads(process.stdout.readline())
    if not ready["ready"]:
        raise RuntimeError(ready["error"])

    def token(rules: RuleSet) -> str:
        expires = int(time.time()) + 600
        claims = TokenClaims(
            execution="bench",
            profile=SERVICE,
            rules=rules.digest(),
            actor="bench",
            environment=SERVICE,
            expires=expires,
        )
        return sign_token(claims, key)

    return Bench(
        proxy=process,
        port=ready["port"],
        origin_port=origin_port,
        authority=authority,
        plain=token(plain),
        credentialed=token(credentialed),
    )


def make_certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for the origin: (key and certificate, certificate)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, NAME)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both, alone = directory / "origin.pem", directory / "certificate.pem"
    both.write_bytes(private + public)
    alone.write_bytes(public)
    return both, alone


def pss(pid: int) -> float:
    """A process's proportional memory in MB; resident where that may not be read."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return status_mb(pid, "VmRSS:")


def status_mb(pid: int, name: str) -> float:
    """A memory figure of /proc/PID/status in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(name))


def cpu_seconds(pid: int) -> float:
    """Processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


CHARTS = [
    Chart(
        kind="distribution",
        title="A keep-alive HTTPS request: direct, through the proxy, with a secret added",
        names=["direct_ms", "proxied_ms", "credentialed_ms"],
        unit="ms",
    ),
    Chart(
        kind="bars",
        title="Throughput",
        names=["throughput_per_s", "throughput_per_core_per_s"],
        unit="requests per second",
    ),
    Chart(
        kind="bars",
        title="Streaming 200 MB",
        names=["stream_mb_per_s", "credentialed_stream_mb_per_s"],
        unit="MB per second",
    ),
    Chart(kind="bars", title="Memory of the proxy", names=["rest_pss_mb", "stream_200mb_peak_rss_mb"], unit="MB"),
]


def main() -> None:
    """Run the rounds and print the table."""
    arguments = parse(options(__doc__, rounds=5, n=1_000, n_means="requests one after another, each way"))
    finish("egress", arguments, [one_round(arguments.n) for _ in counted("egress", arguments.rounds)], CHARTS)


if __name__ == "__main__":
    main()
