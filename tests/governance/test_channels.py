"""Webhooks out and callbacks in: retried, signed, taken once."""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import ValidationError
from starlette.applications import Starlette

from runtime.execution.hostcall import HostCallError
from runtime.governance.callback import CallbackRefusedError, Callbacks
from runtime.governance.webhook import MOST_TRIES, WebhookSender
from runtime.service.callback_route import PATH, BesideCallback
from sandboxes.approval_channels import ApprovalChannels
from sandboxes.config import load_config
from sandboxes.problem import DocumentError
from sandboxes.state import open_state
from sandboxes.webhook_signature import Genuine, signed_headers, verify
from tests.governance.parts import DIGEST, NOW, Desk, desk, row, said
from tests.portal.parts import served

KEY = b"k" * 32


@dataclass
class Receiver:
    """What a webhook's receiver answers in turn, and what it was sent."""

    answers: list[int] = field(default_factory=list)
    sent: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)

    async def __call__(self, headers: Mapping[str, str], body: bytes) -> int:
        self.sent.append((headers, body))
        answer = self.answers.pop(0) if self.answers else 200
        if answer == 0:
            raise HostCallError("unavailable", "nobody answers")
        return answer


def sender_of(opened: Desk, receiver: Receiver) -> WebhookSender:
    return WebhookSender(opened.store, receiver, KEY, now_ns=opened.clock)


async def test_a_message_is_signed_and_has_what_is_shown(tmp_path: Path) -> None:
    receiver = Receiver()
    async with desk(tmp_path, notify=True) as opened:
        await opened.approvals.open(row())
        assert await sender_of(opened, receiver).deliver_due() == 1
        assert await sender_of(opened, receiver).deliver_due() == 0
        await opened.approvals.decide("local", [("apr_1", said())])
        assert await sender_of(opened, receiver).deliver_due() == 1
    (headers, body), (_, second) = receiver.sent
    assert verify(KEY, headers, body, NOW // 10**9) == Genuine(id="apr_1.approval.requested")
    told = json.loads(body)
    assert (told["type"], told["data"]["approval_id"], told["data"]["digest"]) == (
        "approval.requested",
        "apr_1",
        DIGEST,
    )
    assert told["data"]["request"]["arguments"] == {"amount": 500, "to": ["a", "b"]}
    decided = json.loads(second)
    assert (decided["type"], decided["data"]["decisions"][0]["approver"]) == ("approval.approved", "alice")


async def test_a_message_is_sent_again_until_it_is_taken_under_one_id(tmp_path: Path) -> None:
    receiver = Receiver(answers=[500, 0, 302])
    async with desk(tmp_path, notify=True) as opened:
        await opened.approvals.open(row())
        for wait_s in (5, 10, 20, 40):
            assert await sender_of(opened, receiver).deliver_due() == 1
            assert await sender_of(opened, receiver).deliver_due() == 0
            opened.clock.now_ns += wait_s * 10**9
        assert await sender_of(opened, receiver).deliver_due() == 0
    assert len(receiver.sent) == 4
    assert {headers["webhook-id"] for headers, _ in receiver.sent} == {"apr_1.approval.requested"}


@pytest.mark.parametrize(("answer", "tries"), [(410, 1), (500, MOST_TRIES)])
async def test_a_message_is_given_up_in_the_end(tmp_path: Path, answer: int, tries: int) -> None:
    receiver = Receiver(answers=[answer] * 50)
    async with desk(tmp_path, notify=True) as opened:
        await opened.approvals.open(row())
        for _ in range(MOST_TRIES + 5):
            await sender_of(opened, receiver).deliver_due()
            opened.clock.now_ns += 3_600 * 10**9
    assert len(receiver.sent) == tries


async def test_what_waits_is_delivered_soon_without_being_asked(tmp_path: Path) -> None:
    receiver = Receiver()
    async with desk(tmp_path, notify=True) as opened:
        sender = sender_of(opened, receiver)
        opened.approvals.on_delivery = sender.wake
        running = asyncio.create_task(sender.run())
        await opened.approvals.open(row())
        async with asyncio.timeout(20):
            while not receiver.sent:
                await asyncio.sleep(0.01)
        assert not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def decision(**fields: Any) -> bytes:
    given = {"approval_id": "apr_1", "digest": DIGEST, "decision": "approve", "approver": "alice", **fields}
    return json.dumps({key: value for key, value in given.items() if value is not None}).encode()


def test_a_callback_says_what_an_approver_says() -> None:
    body = decision(edits=[{"path": "/amount", "value": 1}], reason="fine")
    headers = signed_headers(KEY, "m1", 1_000, body)
    message_id, approval_id, word = Callbacks(KEY, lambda: 1_000.0).read(headers, body)
    assert (message_id, approval_id, word.approver, word.wanted) == ("m1", "apr_1", "alice", (("/amount", 1),))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{" * 10_000,
        decision(decision="maybe"),
        decision(approver=""),
        decision(approver="  "),
        decision(approver="a\x00b"),
        decision(digest=None),
        decision(decision="deny"),
        decision(extra=1),
        decision(edits=[{"path": "/a"}]),
        decision(reason="x" * 3_000),
    ],
)
def test_a_callback_that_is_no_decision(body: bytes) -> None:
    with pytest.raises(CallbackRefusedError) as refused:
        Callbacks(KEY, lambda: 1_000.0).read(signed_headers(KEY, "m1", 1_000, body), body)
    assert refused.value.status == 400


def test_a_callback_is_taken_once_and_only_while_it_is_fresh() -> None:
    now = 1_000.0
    callbacks = Callbacks(KEY, lambda: now)
    body = decision()
    headers = signed_headers(KEY, "m1", 1_000, body)
    callbacks.read(headers, body)
    with pytest.raises(CallbackRefusedError) as again:
        callbacks.read(headers, body)
    assert again.value.status == 409
    now = 1_301.0
    with pytest.raises(CallbackRefusedError) as late:
        callbacks.read(headers, body)
    assert late.value.status == 401
    now = 2_000.0
    callbacks.read(signed_headers(KEY, "m2", 2_000, body), body)
    assert list(callbacks._taken) == ["m2"]


async def test_over_http_beside_what_needs_the_token(tmp_path: Path) -> None:
    async with desk(tmp_path) as opened:
        await opened.approvals.open(row())
        app = BesideCallback(Starlette(), opened.approvals, Callbacks(KEY))
        async with served(app) as port, httpx2.AsyncClient(trust_env=False) as client:

            async def post(message_id: str, body: bytes, key: bytes = KEY) -> tuple[int, dict[str, Any]]:
                headers = signed_headers(key, message_id, int(time.time()), body)
                answer = await client.post(f"http://127.0.0.1:{port}{PATH}", content=body, headers=headers)
                return answer.status_code, answer.json()

            assert (await post("m1", decision(), b"x" * 32))[0] == 401
            assert (await post("m2", decision(approval_id="apr_9")))[0] == 404
            assert (await post("m3", decision(approver="agent")))[1]["error"] == "OWN_REQUEST"
            assert (await post("m4", decision(digest="sha256:0")))[1]["error"] == "ANOTHER_DIGEST"
            assert (await post("m5", b"x" * 70_000))[0] == 413
            assert await post("m6", decision()) == (200, {"approval_id": "apr_1", "state": "approved"})
            assert (await post("m6", decision()))[0] == 409
            assert (await post("m7", decision()))[1]["error"] == "ALREADY_DECIDED"
            assert (await client.get(f"http://127.0.0.1:{port}{PATH}")).status_code == 405
            assert (await client.post(f"http://127.0.0.1:{port}/other")).status_code == 404


def test_the_rule_of_a_webhook_reaches_one_place() -> None:
    channels = ApprovalChannels.model_validate(
        {"webhook": {"url": "https://hooks.example/a/b", "auth": {"secret": "hook", "as": "bearer"}}}
    )
    assert channels.webhook is not None
    (rule,) = channels.webhook.rule_set().rules
    assert (rule.methods, rule.paths, rule.hosts, rule.ports) == (("POST",), ("/a/b",), ("hooks.example",), (443,))


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "https://a.example/?x=1", "https://u:p@a.example/", "https://a.example/*", "x", "https://a.example/../b"]
)  # fmt: skip
def test_what_is_no_webhook(url: str) -> None:
    with pytest.raises(ValidationError):
        ApprovalChannels.model_validate({"webhook": {"url": url}})


def test_a_secret_of_a_webhook_has_to_be_declared(tmp_path: Path) -> None:
    path = tmp_path / "lockgate.yaml"
    path.write_text(
        "approvals: {webhook: {url: 'https://a.example/', auth: {secret: hook, as: bearer}}}\n", encoding="utf-8"
    )
    with pytest.raises(DocumentError, match=r"approvals\.webhook\.auth\.secret"):
        load_config(path)


def test_keys_are_made_once_and_are_ours_alone(tmp_path: Path) -> None:
    state = open_state(tmp_path / "state")
    key = state.signing_key("webhook")
    assert len(key) == 32
    assert open_state(tmp_path / "state").signing_key("webhook") == key
    assert state.signing_key("callback") != key
    assert (tmp_path / "state" / "webhook.key").stat().st_mode & 0o777 == 0o600
