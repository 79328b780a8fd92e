"""No way of writing a secret down shows it: not text, not errors, not the values in a traceback's frames."""

import copy
import dataclasses
import json
import logging
import pickle
import pprint
import traceback
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import TypeAdapter

from egress.admission import Admission
from egress.credentials import Credentialed, add_credentials
from egress.injection import NotInjectableError, inject
from egress.outgoing import Outgoing
from egress.request import Denial
from egress.secrets import Secret, SecretStore
from egress.secrets.cached import Fetched
from egress.secrets.token_client import Reply
from sandboxes.authority import Authority
from sandboxes.egress_decision import Decision
from sandboxes.injection import Injection
from sandboxes.secret_source import SecretSource

VALUE = "s3cr3t-value-that-nothing-shows"
INJECTIONS = TypeAdapter(Injection)
FORMS = [
    {"as": "bearer"},
    {"as": "basic", "username": "u"},
    {"as": "header", "name": "x-key"},
    {"as": "query", "name": "k"},
    {"as": "path", "position": 1},
    {"as": "cookie", "name": "c"},
    {"as": "json", "pointer": "/k"},
    {"as": "placeholder", "text": "LOCKGATE_WORD", "places": ["header", "body"]},
    {"as": "sigv4", "region": "r", "service": "s3", "access_key_id": "NOTAREALKEYIDENT"},
]


def outgoing(**more: Any) -> Outgoing:
    headers = ((b"content-type", b"application/json"), (b"x-word", b"LOCKGATE_WORD"))
    base = {"method": "POST", "scheme": "https", "authority": Authority("api.example.test", 443), "path": "/a"}
    return Outgoing(**{**base, "query": None, "headers": headers, "body": b"{}", **more})


def injection(**form: Any) -> Injection:
    return INJECTIONS.validate_python({"secret": "s", **form})


WRITERS: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda secret: f"{secret} {secret!s} {secret!r} {secret:>100}",
    "percent": lambda secret: "%s %r" % (secret, secret),  # noqa: UP031 - one of the ways
    "pprint": pprint.pformat,
    "in a list": lambda secret: repr([secret, {"k": secret}]),
    "json with default": lambda secret: json.dumps({"s": secret}, default=str),
    "vars": lambda secret: str(getattr(secret, "__dict__", "")),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_secret_is_not_written(writer: str) -> None:
    assert VALUE not in WRITERS[writer](Secret("s", VALUE.encode()))


@pytest.mark.parametrize("taken", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, bytes, dataclasses.asdict])
def test_a_secret_is_not_taken_along(taken: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError) as caught:
        taken(Secret("s", VALUE.encode()))
    assert VALUE not in str(caught.value)


def test_a_secret_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("x").error("failed with %s and %r", Secret("s", VALUE.encode()), Secret("s", VALUE.encode()))
    assert VALUE not in caplog.text
    assert "***" in caplog.text


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["as"])
def test_a_request_with_its_credential_does_not_print_it(form: dict) -> None:
    store = SecretStore({"s": SecretSource(env="S")}, {"S": VALUE})
    ready = add_credentials((injection(**form),), store, outgoing(), "r")
    assert isinstance(ready, Credentialed)
    done = ready.outgoing if ready.step is None else ready.step(ready.outgoing)
    assert isinstance(done, Outgoing)
    held = Admission(
        decision=Decision(allowed=True, code="allowed", reason="r"), headers=list(done.headers), query=done.query,
        path=done.path, needles=ready.needles, steps=(ready.step,) if ready.step else (),
    )  # fmt: skip
    written = " ".join(map(repr, (ready, done, held)))
    assert VALUE not in written
    assert "U3M" not in written


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["as"])
@pytest.mark.parametrize("value", [VALUE + "\r\nX: y", VALUE + "\0", VALUE + "/\x1f"])
def test_no_frame_of_a_refusal_holds_the_value(form: dict, value: str) -> None:
    """What a tool prints that dumps the locals of every frame, down every chain of causes."""
    error = refusal(form, Secret("s", value.encode()))
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert VALUE not in shown
    assert "control character" in shown
    assert "in inject" in shown


def refusal(form: dict, secret: Secret) -> NotInjectableError:
    """The error; this frame, which is part of its traceback, has the secret in its type only."""
    try:
        inject([(injection(**form), secret)], outgoing(body=b'{"w": "LOCKGATE_WORD"}'))
    except NotInjectableError as error:
        return error
    raise AssertionError("not refused")


def test_no_frame_of_a_failure_holds_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(value: bytes) -> bytes:
        raise RuntimeError(f"cannot encode {value!r}")

    monkeypatch.setattr("egress.injection.header.base64.b64encode", broken)
    error = refusal({"as": "basic", "username": "u"}, Secret("s", VALUE.encode()))
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert VALUE not in shown
    assert "RuntimeError" in str(error)


def test_answers_of_token_endpoints_and_fetched_values_are_not_printed() -> None:
    assert VALUE not in repr((Fetched(VALUE.encode(), 1.0), Reply(200, VALUE.encode())))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form["as"])
def test_every_form_of_a_credential_has_its_needles(form: dict) -> None:
    """Whatever of the request changed by the credential, a needle is in it; signatures and hashes aside."""
    store = SecretStore({"s": SecretSource(env="S")}, {"S": VALUE})
    ready = add_credentials((injection(**form),), store, outgoing(), "r")
    assert isinstance(ready, Credentialed)
    assert VALUE.encode() in {needle for _, needle in ready.needles}
    done = ready.outgoing if ready.step is None else ready.step(ready.outgoing)
    assert not isinstance(done, Denial)
    added = [value for name, value in done.headers if (name, value) not in outgoing().headers]
    added += [part.encode() for part in (done.path, done.query or "")] + [done.body]
    carried = any(needle in text for _, needle in ready.needles for text in added)
    assert carried or form["as"] == "sigv4"
