"""How soon what a token let in is closed: from the revoking command, or the second of expiry, to the end of file.

A tunnel in which nothing moves, and an answer that its origin holds open; a hundred tunnels of others beside them.
"""

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from sandboxes.budgets import SERVICE_TERMS
from sandboxes.egress_rule import EgressRule
from sandboxes.rule_set import RuleSet
from sandboxes.token import SERVICE, TokenClaims, sign_token

BESIDE = 100
NAME = "origin.bench"
_LATEST_S = 20.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Bench:
    """A running proxy, and an origin that begins answers and does not end them."""

    proxy: subprocess.Popen[bytes]
    port: int
    place: str
    rules: str
    key: bytes

    def token(self, execution: str, expires: int) -> str:
        claims = TokenClaims(
            execution=execution,
            profile=SERVICE,
            rules=self.rules,
            actor="bench",
            environment=SERVICE,
            expires=expires,
        )
        return sign_token(claims, self.key)

    def open(self, line: str, execution: str, expires: int) -> socket.socket:
        """A connection on which this request has a good answer's head."""
        wire = socket.create_connection(("127.0.0.1", self.port), timeout=_LATEST_S)
        head = f"{line} HTTP/1.1\r\nHost: {self.place}\r\nProxy-Authorization: Bearer {self.token(execution, expires)}"
        wire.sendall(f"{head}\r\n\r\n".encode())
        if not wire.recv(1_000).startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"{line} was refused")
        return wire

    def tunnel(self, execution: str, expires: int) -> socket.socket:
        return self.open(f"CONNECT {self.place}", execution, expires)

    def stream(self, execution: str, expires: int) -> socket.socket:
        return self.open(f"GET http://{self.place}/", execution, expires)

    def tell(self, command: dict[str, object]) -> None:
        assert self.proxy.stdin is not None
        self.proxy.stdin.write(json.dumps(command).encode() + b"\n")
        self.proxy.stdin.flush()


type Relay = Callable[[str, int], socket.socket]


def ended(wire: socket.socket) -> float:
    """When nothing more came of a connection, in Unix seconds."""
    try:
        while wire.recv(1 << 16):
            pass
    except ConnectionError:
        pass
    at = time.time()
    wire.close()
    return at


def revoked_ms(bench: Bench, relay: Relay, name: str) -> float:
    expires = int(time.time()) + 600
    wire = relay(name, expires)
    begun = time.time()
    bench.tell({"revoke": {name: expires}})
    return (ended(wire) - begun) * 1e3


def expired_ms(relay: Relay, name: str) -> float:
    expires = int(time.time()) + 2
    return (ended(relay(name, expires)) - expires) * 1e3


def hold(listener: socket.socket) -> None:
    """Begin an answer on every connection, and leave it there."""
    kept = []
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        connection.recv(65_536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        kept.append(connection)


def start(state: Path, origin_port: int) -> Bench:
    key = secrets.token_bytes(32)
    rule = EgressRule(
        name="bench", hosts=(NAME,), ports=(origin_port,), schemes=("http",), paths=("/**",), networks=("127.0.0.0/8",)
    )
    rules = RuleSet(rules=(rule,))
    settings = {
        "token_key": base64.b64encode(key).decode(),
        "state_dir": str(state),
        "event_file": str(state / "egress.jsonl"),
        "rule_sets": {rules.digest(): rules.model_dump(mode="json", by_alias=True)},
        "terms": {SERVICE: SERVICE_TERMS.model_dump(mode="json")},
        "hosts": {NAME: "127.0.0.1"},
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "egress"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(settings).encode() + b"\n")
    process.stdin.flush()
    ready = json.loads(process.stdout.readline())
    if not ready["ready"]:
        raise RuntimeError(ready["error"])
    place = f"{NAME}:{origin_port}"
    return Bench(proxy=process, port=ready["port"], place=place, rules=rules.digest(), key=key)


def one_round(count: int) -> Round:
    measured = Round()
    with tempfile.TemporaryDirectory() as state, socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        threading.Thread(target=hold, args=(listener,), daemon=True).start()
        bench = start(Path(state), listener.getsockname()[1])
        beside = [bench.tunnel(f"beside-{number}", int(time.time()) + 600) for number in range(BESIDE)]
        relays: dict[str, Relay] = {"tunnel": bench.tunnel, "stream": bench.stream}
        try:
            for kind, relay in relays.items():
                revoked = [revoked_ms(bench, relay, f"{kind}-{number}") for number in range(count)]
                measured.sample(f"{kind}_revoked_ms", revoked, (50, 95, 100))
                expired = [expired_ms(relay, f"{kind}-late-{number}") for number in range(max(3, count // 20))]
                measured.sample(f"{kind}_expired_ms", expired, (50, 100))
        finally:
            for wire in beside:
                wire.close()
            assert bench.proxy.stdin is not None
            bench.proxy.stdin.close()
            bench.proxy.wait(10)
    return measured


CHARTS = [
    Chart(
        kind="distribution",
        title="From the revocation to the end of what it let in",
        names=["tunnel_revoked_ms", "stream_revoked_ms"],
        unit="ms",
    )
]


def main() -> None:
    """Run the rounds and print the table."""
    arguments = parse(options(__doc__, rounds=3, n=100, n_means="revocations of each kind"))
    finish("revocation", arguments, [one_round(arguments.n) for _ in counted("revocation", arguments.rounds)], CHARTS)


if __name__ == "__main__":
    main()
