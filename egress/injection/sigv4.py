"""AWS Signature Version 4, by botocore's signer, over the request as it leaves and the hash of its body."""

import hashlib
import json
import threading
from dataclasses import dataclass, field, replace
from typing import Any

from egress.outgoing import Outgoing
from egress.secrets import Secret
from sandboxes.injection import SigV4Injection

from .value import NotInjectableError, text_value

_HASH = "X-Amz-Content-SHA256"
_MADE = ("authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256")


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key of AWS."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str | None = field(repr=False, default=None)


def inject(injection: SigV4Injection, secret: Secret, request: Outgoing) -> Outgoing:
    """The request signed: host, content-type and every x-amz- header, path, query and body."""
    keys = _keys(injection, secret)
    signed = _sign(injection, keys, request)
    made = [(name, signed.headers[name]) for name in _MADE if name in signed.headers]
    return replace(request, headers=(*request.headers, *((name.encode(), value.encode()) for name, value in made)))


def needles(injection: SigV4Injection, secret: Secret) -> tuple[bytes, ...]:
    """The key itself never leaves; its parts are looked for all the same, and the session token does leave."""
    if injection.access_key_id is not None:
        return (secret.expose(),)
    try:
        keys = _keys(injection, secret)
    except NotInjectableError:
        return (secret.expose(),)
    return (keys.secret_access_key.encode(), (keys.session_token or "").encode())


def preload() -> None:
    """Load the signer beside the event loop: the first request that needs it would stop all others for 0.2 s."""
    threading.Thread(target=_signers, name="botocore", daemon=True).start()


def _signers() -> Any:
    """The package of botocore, an extra, with the modules that sign; None without it."""
    try:
        import botocore.auth  # noqa: PLC0415 - loaded when it is used
        import botocore.awsrequest  # noqa: PLC0415
        import botocore.credentials  # noqa: PLC0415
    except ImportError:
        return None
    return botocore


def _sign(injection: SigV4Injection, keys: Keys, request: Outgoing) -> Any:
    library = _signers()
    if library is None:
        raise NotInjectableError('needs botocore, which is not installed; install "lockgate[aws]"')
    # S3 signs the path as it is; every other service signs it percent-encoded once more.
    signer = library.auth.S3SigV4Auth if injection.service == "s3" else library.auth.SigV4Auth
    credentials = library.credentials.Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token)
    host = request.authority.header(request.scheme)
    unsigned = library.awsrequest.AWSRequest(
        method=request.method,
        url=f"{request.scheme}://{host}{request.target}",
        headers=_signed(request),
        data=request.body,
    )
    unsigned.headers["Host"] = host
    unsigned.headers[_HASH] = hashlib.sha256(request.body).hexdigest()
    unsigned.context["payload_signing_enabled"] = True
    signer(credentials, injection.service, injection.region).add_auth(unsigned)
    return unsigned


def _signed(request: Outgoing) -> dict[str, str]:
    """Headers that the signature covers; those the way may change, such as accept-encoding, are not among them."""
    found: dict[str, str] = {}
    for name, value in request.headers:
        lowered = name.decode("latin-1").lower()
        if lowered == "content-type" or lowered.startswith("x-amz-"):
            if lowered in found:
                raise NotInjectableError(f"cannot sign a request that has {lowered} twice")
            found[lowered] = value.decode("latin-1")
    return found


def _keys(injection: SigV4Injection, secret: Secret) -> Keys:
    value = text_value(secret) if injection.access_key_id is not None else secret.expose().decode(errors="replace")
    if injection.access_key_id is not None:
        return Keys(injection.access_key_id, value)
    try:
        said = json.loads(value)
        keys = Keys(said["AccessKeyId"], said["SecretAccessKey"], said.get("SessionToken"))
    except (ValueError, KeyError, TypeError, AttributeError):
        keys = None
    if keys is None or not all(_plain(part) for part in (keys.access_key_id, keys.secret_access_key)):
        raise NotInjectableError("is not JSON with AccessKeyId and SecretAccessKey; or give the rule an access_key_id")
    if keys.session_token is not None and not _plain(keys.session_token):
        raise NotInjectableError("has a SessionToken that is not printable text")
    return keys


def _plain(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()
