"""ExecuteRequest to Program: every field checked, every fault named, nothing defaulted that identity needs."""

import time
from collections.abc import Mapping

import grpc

from runtime.execution.caller import Caller
from runtime.execution.cut import LEAST_BYTES
from runtime.execution.execution import Program
from runtime.execution.intake import Refused, take_in
from runtime.rpc import runtime_pb2 as pb
from runtime.service.convert import ENVIRONMENTS, LANGUAGES, seconds
from runtime.service.errors import ApiError, bad_fields
from sandboxes.bounded_json import JsonBoundError, loads
from sandboxes.limits import narrow
from sandboxes.profile import Profile, environment_allowed, language_allowed

MOST_NAME = 256
MOST_REASON = 2_000
MOST_KEY = 128
MOST_EXPIRY_S = 7 * 86_400
MOST_INPUT_VALUES = 1_000_000

type Faults = list[tuple[str, str]]


def program_of(
    request: pb.ExecuteRequest, principal: str, profiles: Mapping[str, Profile], session: str = ""
) -> Program:
    """The validated program. Raises ApiError that names every field at fault. `session`: as in Program."""
    faults: Faults = []
    caller = _caller(request.context, principal, faults)
    profile = _profile(request.profile, profiles, faults)
    if request.catalog_profile:
        _profile(request.catalog_profile, profiles, faults, "catalog_profile")
    _check_code(request.code, faults)
    if request.language and request.language not in LANGUAGES:
        faults.append(("language", f"there is no language {request.language}; {_words(LANGUAGES)}"))
    if len(request.idempotency_key) > MOST_KEY:
        faults.append(("idempotency_key", f"has {len(request.idempotency_key)} characters; at most {MOST_KEY}"))
    if len(request.session_id) > MOST_KEY:
        faults.append(("session_id", f"has {len(request.session_id)} characters; at most {MOST_KEY}"))
    if request.on_failure not in {pb.ON_FAILURE_UNSPECIFIED, pb.ON_FAILURE_ROLLBACK}:
        faults.append(("on_failure", f"there is no {request.on_failure}"))
    if request.inline_bytes and request.inline_bytes < LEAST_BYTES:
        faults.append(("inline_bytes", f"is {request.inline_bytes}; 0 for all, or at least {LEAST_BYTES}"))
    if faults or profile is None or caller is None:
        raise bad_fields(faults)
    return _under_profile(request, profile, caller, session)


def _under_profile(request: pb.ExecuteRequest, profile: Profile, caller: Caller, session: str) -> Program:
    try:
        limits, sources = narrow(profile.limits, profile.ceilings, dict(request.limits))
    except ValueError as error:
        raise bad_fields([("limits", str(error))]) from None
    _check_size("code", request.code, limits.source_bytes, "source_bytes")
    _check_size("inputs_json", request.inputs_json, limits.inputs_bytes, "inputs_bytes")
    taken = take_in(request.code, LANGUAGES.get(request.language))
    if isinstance(taken, Refused):
        raise bad_fields([("code", taken.message)])
    for decision in (language_allowed(profile, taken.language), environment_allowed(profile, caller.environment)):
        if not decision.allowed:
            raise ApiError(grpc.StatusCode.PERMISSION_DENIED, "PROFILE_REFUSES", decision.reason)
    return Program(
        code=taken.code,
        language=taken.language,
        inputs=_inputs(request.inputs_json),
        profile=profile,
        limits=limits,
        limit_sources=sources,
        caller=caller,
        idempotency_key=request.idempotency_key,
        intake=taken.note,
        detected=taken.detected,
        session=session,
        session_id=request.session_id,
        inline_bytes=request.inline_bytes,
        read_only=request.read_only,
        dry_run=request.dry_run,
        on_failure="rollback" if request.on_failure == pb.ON_FAILURE_ROLLBACK else "keep",
        catalog_profile=request.catalog_profile,
    )


def caller_of(context: pb.Context, principal: str) -> Caller:
    """Who asks. Raises ApiError that names every field at fault."""
    faults: Faults = []
    caller = _caller(context, principal, faults)
    if caller is None:
        raise bad_fields(faults)
    return caller


def _caller(context: pb.Context, principal: str, faults: Faults) -> Caller | None:
    before = len(faults)
    for field, most in (("actor", MOST_NAME), ("owner", MOST_NAME), ("reason", MOST_REASON)):
        value = getattr(context, field).strip()
        if not value:
            faults.append((f"context.{field}", "is required"))
        elif len(value) > most:
            faults.append((f"context.{field}", f"has {len(value)} characters; at most {most}"))
    if context.environment not in ENVIRONMENTS:
        faults.append(("context.environment", f"is required: {_words(ENVIRONMENTS)}"))
    expires = seconds(context.expires_at)
    if not context.HasField("expires_at"):
        faults.append(("context.expires_at", "is required"))
    elif not time.time() < expires <= time.time() + MOST_EXPIRY_S:
        faults.append(("context.expires_at", f"must lie in the future, at most {MOST_EXPIRY_S} seconds from now"))
    if len(faults) > before:
        return None
    return Caller(
        principal=principal,
        actor=context.actor.strip(),
        owner=context.owner.strip(),
        environment=ENVIRONMENTS[context.environment],  # type: ignore[arg-type]
        reason=context.reason.strip(),
        expires_at=expires,
    )


def _profile(name: str, profiles: Mapping[str, Profile], faults: Faults, field: str = "profile") -> Profile | None:
    profile = profiles.get(name)
    if profile is None:
        what = f'there is no profile "{name[:100]}"' if name else "is required"
        faults.append((field, f"{what}; there are {', '.join(sorted(profiles))}"))
    return profile


def _check_code(code: str, faults: Faults) -> None:
    if not code.strip():
        faults.append(("code", "is empty; send a program"))
    elif "\0" in code:
        faults.append(("code", "contains a NUL character; send text"))


def _check_size(field: str, text: str, most: int, limit: str) -> None:
    size = len(text.encode())
    if size > most:
        raise bad_fields([(field, f"is {size} bytes; limit {limit} is {most}")])


def _inputs(text: str) -> str:
    if not text:
        return "null"
    try:
        loads(text, most_values=MOST_INPUT_VALUES)
    except JsonBoundError as error:
        raise bad_fields([("inputs_json", f"is {error}")]) from None
    except ValueError as error:
        raise bad_fields([("inputs_json", f"is not JSON: {error}")]) from None
    return text


def _words(enum: Mapping[int, str]) -> str:
    return f"one of {', '.join(enum.values())}"
