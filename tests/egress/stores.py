"""Servers that speak the documented HTTP APIs of secret stores over real sockets."""

import json
import re
import threading
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from tests.egress.origin import Origin, Received, answer

Trouble = Callable[[Received], bytes | Iterable[bytes] | None]


class StoreServer:
    """`entries`: path to fields. `trouble`, if set, answers instead where it gives something."""

    def __init__(self, context=None) -> None:
        self.entries: dict[str, dict[str, str]] = {}
        self.trouble: Trouble = lambda _: None
        self.logins = 0
        self.hanging = threading.Event()
        self.released = threading.Event()
        self.origin = Origin(self._handle, context)
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.origin.port}"

    def close(self) -> None:
        self.released.set()
        self.origin.close()

    def hang(self, _: Received) -> bytes:
        """Never answers, until the test is over."""
        self.hanging.set()
        self.released.wait(30)
        return answer()

    def _handle(self, request: Received) -> bytes | Iterable[bytes]:
        found = self.trouble(request)
        return self.serve(request) if found is None else found

    def serve(self, request: Received) -> bytes:
        raise NotImplementedError


def reply(body: object, status: str = "200 OK") -> bytes:
    return answer(json.dumps(body).encode(), status, ("Content-Type", "application/json"))


class VaultServer(StoreServer):
    """HashiCorp Vault: KV version 2 at `secret`, logins by AppRole and Kubernetes."""

    tokens: frozenset[str] = frozenset({"root-token-1"})
    issued = "s.issued-1"

    def serve(self, request: Received) -> bytes:
        method, path, _ = request.line.split(" ")
        if login := re.fullmatch(r"/v1/auth/([a-z-]+)/login", path):
            return self._log_in(login[1], json.loads(request.body))
        if request.header("x-vault-token") not in self.tokens | {self.issued}:
            return reply({"errors": ["permission denied"]}, "403 Forbidden")
        entry = self.entries.get(unquote(path.partition("?")[0].removeprefix("/v1/secret/data/")))
        if method != "GET" or entry is None:
            return reply({"errors": []}, "404 Not Found")
        metadata = {"created_time": "2026-01-01T00:00:00Z", "deletion_time": "", "destroyed": False, "version": 1}
        return reply({"request_id": "r", "lease_id": "", "data": {"data": entry, "metadata": metadata}})

    def _log_in(self, method: str, said: dict) -> bytes:
        self.logins += 1
        good = {
            "approle": {"role_id": "role-1", "secret_id": "secret-id-1"},
            "kubernetes": {"role": "lockgate", "jwt": "service-token-1"},
        }
        if said != good.get(method):
            return reply({"errors": ["invalid role or secret ID"]}, "400 Bad Request")
        return reply({"auth": {"client_token": self.issued, "lease_duration": 3600, "renewable": True}})


class AwsServer(StoreServer):
    """AWS Secrets Manager: JSON 1.1, GetSecretValue."""

    def serve(self, request: Received) -> bytes:
        assert request.header("x-amz-target") == "secretsmanager.GetSecretValue"
        if "Credential=NOTAREALKEYIDENT/" not in (request.header("authorization") or ""):
            return reply({"__type": "UnrecognizedClientException", "message": "no"}, "400 Bad Request")
        name = json.loads(request.body)["SecretId"]
        if name not in self.entries:
            missing = {"__type": "ResourceNotFoundException", "Message": "Secrets Manager can't find the secret."}
            return reply(missing, "400 Bad Request")
        return reply(
            {"ARN": f"arn:aws:secretsmanager:{name}", "Name": name, "SecretString": json.dumps(self.entries[name])}
        )


class OnePasswordServer(StoreServer):
    """1Password Connect: vaults and items by title."""

    vault = "v" * 26

    def serve(self, request: Received) -> bytes:
        if request.header("authorization") != "Bearer connect-token-1":
            return reply({"status": 401, "message": "Invalid bearer token"}, "401 Unauthorized")
        path, _, query = request.line.split(" ")[1].partition("?")
        title = re.search(r'"(.*)"', unquote(query.replace("+", " ")))
        if path == "/v1/vaults":
            return reply([{"id": self.vault, "name": "Production"}] if title and title[1] == "Production" else [])
        items = {f"{number:026d}": name for number, name in enumerate(sorted(self.entries))}
        if path == f"/v1/vaults/{self.vault}/items":
            return reply([self._item(i, name) for i, name in items.items() if title and name == title[1]])
        wanted = path.removeprefix(f"/v1/vaults/{self.vault}/items/")
        if wanted not in items:
            return reply({"status": 404, "message": "Item not found"}, "404 Not Found")
        fields = [{"id": f"f{name}", "label": name, "type": "CONCEALED", "value": value}
                  for name, value in self.entries[items[wanted]].items()]  # fmt: skip
        return reply({**self._item(wanted, items[wanted]), "fields": fields})

    def _item(self, identifier: str, title: str) -> dict:
        return {"id": identifier, "title": title, "vault": {"id": self.vault}, "category": "API_CREDENTIAL"}
