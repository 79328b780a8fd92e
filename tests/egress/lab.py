"""A real egress proxy process for tests, and a client that writes bytes to it."""

import base64
import contextlib
import json
import os
import secrets
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandboxes.budgets import SERVICE_TERMS
from sandboxes.egress_event import read_event
from sandboxes.egress_rule import EgressRule
from sandboxes.rule_set import RuleSet
from sandboxes.token import TokenClaims, sign_token
from tests.egress.origin import Origin

PROFILE = "sha256:tests"
KEY = secrets.token_bytes(32)
LOOPBACK = ("127.0.0.0/8", "::1/128")
SECRET = "s3cr3t/Value+with=chars"


def rule(**fields: Any) -> EgressRule:
    """A rule that allows everything on loopback, but for what `fields` say."""
    base = {
        "name": "r",
        "hosts": ["api.example.test"],
        "schemes": ["http", "https"],
        "methods": ["*"],
        "paths": ["/**"],
    }
    return EgressRule.model_validate({**base, "networks": LOOPBACK, **fields})


def rule_set(*rules: EgressRule) -> RuleSet:
    return RuleSet(rules=rules)


def events_in(file: Path) -> list[dict[str, Any]]:
    """The records in an event file, but for a line that is just being written."""
    whole = file.read_bytes().rpartition(b"\n")[0]
    records = [read_event(line) for line in whole.splitlines()]
    assert None not in records
    return records


@dataclass
class Reply:
    """A parsed response."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    trailers: list[tuple[str, str]] = field(default_factory=list)
    reset: bool = False  # HTTP/2: the stream ended before its answer did
    ended: bool = False  # HTTP/2: the stream came to its end

    @property
    def whole(self) -> bool:
        """Whether it has come to its end. Over HTTP/1 a part raises when it is read; `asking` gives status 0 then."""
        return self.ended if self.header(":status") else self.status != 0

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)

    def note(self) -> dict[str, Any]:
        return json.loads(self.header("lockgate-egress") or "{}")


class Wire:
    """One connection to the proxy."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._buffer = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def close(self) -> None:
        self.socket.close()

    def received(self) -> bytes:
        """What arrives next; empty at the end."""
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""

    def eof(self) -> bool:
        """Whether the proxy closes without another byte."""
        try:
            return not self._buffer and self.socket.recv(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True

    def reply(self, *, head: bool = False, connect: bool = False) -> Reply:
        head_bytes, _, self._buffer = self._until(b"\r\n\r\n").partition(b"\r\n\r\n")
        first, *lines = head_bytes.decode("latin-1").split("\r\n")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        reply = Reply(int(first.split()[1]), headers, b"")
        if not head and reply.status not in {204, 304} and not (connect and reply.status == 200):
            reply.body = self._body(reply)
        return reply

    def _body(self, reply: Reply) -> bytes:
        if (reply.header("transfer-encoding") or "").lower() == "chunked":
            return b"".join(self._chunks())
        length = reply.header("content-length")
        if length is not None:
            return self._exactly(int(length))
        parts = [self._buffer]
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def _chunks(self) -> Iterator[bytes]:
        while True:
            size = int(self._until(b"\r\n").partition(b"\r\n")[0], 16)
            self._buffer = self._buffer.partition(b"\r\n")[2]
            data = self._exactly(size + 2)
            if not size:
                return
            yield data[:-2]

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._buffer:
            part = self.socket.recv(65536)
            if not part:
                raise EOFError(self._buffer)
            self._buffer += part
        return self._buffer

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            part = self.socket.recv(65536)
            if not part:
                raise EOFError(self._buffer)
            self._buffer += part
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


@dataclass
class Lab:
    """A proxy process with its settings."""

    process: subprocess.Popen[bytes]
    ready: dict[str, Any]
    events: Path
    state: Path
    _wires: list[Wire] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.ready["port"]

    def token(
        self,
        rules: RuleSet,
        *,
        expires_in: float = 60,
        key: bytes = KEY,
        execution: str = "ex-1",
        profile: str = PROFILE,
        generation: int = 0,
    ) -> str:
        claims = TokenClaims(
            execution=execution,
            profile=profile,
            generation=generation,
            rules=rules.digest(),
            actor="tester",
            environment="dev",
            expires=int(time.time() + expires_in),
        )
        return sign_token(claims, key)

    def wire(self) -> Wire:
        made = Wire(socket.create_connection(("127.0.0.1", self.port), timeout=15))
        self._wires.append(made)
        return made

    def request(self, head: str, token: str | None = None, body: bytes = b"") -> Reply:
        """One request on a connection of its own. `head` without the final empty line; LF stands for CRLF."""
        wire = self.wire()
        wire.send(render(head, token) + body)
        reply = wire.reply(head=head.startswith("HEAD"))
        wire.close()
        return reply

    def get(self, url: str, token: str | None = None, *headers: str) -> Reply:
        host = url.partition("://")[2].partition("/")[0].partition("?")[0]
        return self.request("\n".join([f"GET {url} HTTP/1.1", f"Host: {host}", *headers]), token)

    def tunnel(self, authority: str, token: str) -> Wire:
        wire = self.wire()
        wire.send(render(f"CONNECT {authority} HTTP/1.1\nHost: {authority}", token))
        reply = wire.reply(head=True)
        assert reply.status == 200, reply
        return wire

    def secure(self, wire: Wire, server_name: str | None, alpn: list[str] | None = None) -> Wire:
        context = ssl.create_default_context(cafile=self.ready["ca_file"])
        if server_name is None:
            context.check_hostname = False
        if alpn:
            context.set_alpn_protocols(alpn)
        made = Wire(context.wrap_socket(wire.socket, server_hostname=server_name))
        self._wires.append(made)
        return made

    def records(self, count: int) -> list[dict[str, Any]]:
        """The events, once there are at least `count`."""
        deadline = time.monotonic() + 10
        while True:
            found = events_in(self.events) if self.events.exists() else []
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.01)

    def record(self, path: str) -> dict[str, Any]:
        """The event of the one request for `path`, once it is written."""
        deadline = time.monotonic() + 10
        while True:
            found = [record for record in self.records(1) if record.get("path") == path]
            if found or time.monotonic() > deadline:
                return found[-1]
            time.sleep(0.01)

    def event(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The last event that is `wanted`, once there is one."""
        deadline = time.monotonic() + 10
        while True:
            found = [event for event in self.records(1) if event["event"] == "egress" and wanted(event)]
            if found or time.monotonic() > deadline:
                return found[-1]
            time.sleep(0.01)

    def command(self, **command: Any) -> dict[str, Any]:
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        """Close every connection made here."""
        for wire in self._wires:
            wire.close()

    def stop(self) -> int:
        self.close()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            return self.process.wait(10)
        finally:
            self.process.stdout.close()


@dataclass
class World:
    """A proxy, the origins behind it, and rule sets by what they allow."""

    lab: Lab
    plain: Origin
    secure: Origin
    open: RuleSet
    with_secret: RuleSet

    def token(self, rules: RuleSet | None = None) -> str:
        return self.lab.token(rules or self.open)

    def load(self, rules: RuleSet) -> str:
        """Add a rule set to the running proxy; gives a token for it."""
        assert self.lab.command(rule_sets={rules.digest(): rules.model_dump(mode="json", by_alias=True)})["done"]
        return self.lab.token(rules)

    @property
    def http(self) -> str:
        return f"http://api.example.test:{self.plain.port}"

    @property
    def https(self) -> str:
        return f"https://api.example.test:{self.secure.port}"


def render(head: str, token: str | None = None) -> bytes:
    if token is not None:
        head += f"\nProxy-Authorization: Bearer {token}"
    return head.replace("\n", "\r\n").encode("utf-8") + b"\r\n\r\n"


def settings(state: Path, *rule_sets: RuleSet, **more: Any) -> dict[str, Any]:
    base = {
        "token_key": base64.b64encode(KEY).decode(),
        "state_dir": str(state),
        "event_file": str(state / "egress.jsonl"),
        "rule_sets": {rules.digest(): rules.model_dump(mode="json", by_alias=True) for rules in rule_sets},
        "terms": {PROFILE: {**SERVICE_TERMS.model_dump(mode="json"), "name": "tests", "environments": ["dev"]}},
    }
    return {**base, **more}


def start(state: Path, *rule_sets: RuleSet, env: dict[str, str] | None = None, **more: Any) -> Lab:
    """Start a proxy and wait for its ready line."""
    state.mkdir(parents=True, exist_ok=True)
    process = launch(settings(state, *rule_sets, **more), env)
    ready = json.loads(process.stdout.readline())
    assert ready["ready"], ready
    return Lab(process, ready, state / "egress.jsonl", state)


def launch(given: dict[str, Any] | bytes, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    line = given if isinstance(given, bytes) else json.dumps(given).encode()
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-m", "egress"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=root,
        env={"PATH": os.environ["PATH"], **(env or {})},
    )
    process.stdin.write(line + b"\n")
    process.stdin.flush()
    return process
