"""The bounds of one execution. Every bound is explicit; a request gets what its profile gives, or asks."""

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sandboxes.identity import Same

_UNITS = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE = re.compile(r"(\d+)\s*([A-Za-z]*)")


def parse_size(value: Any) -> Any:
    """`"64MiB"` to 67108864; whole numbers pass as they are."""
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None or match[2] not in _UNITS:
        raise ValueError(f'a size is a whole number with one of {", ".join(u for u in _UNITS if u)}, not "{value}"')
    return int(match[1]) * _UNITS[match[2]]


Size = Annotated[int, BeforeValidator(parse_size)]


class Limits(BaseModel):
    """What one execution may use. Times in milliseconds, sizes in bytes.

    Three clocks: `cpu_ms` counts the guest's own processor time, `active_ms` the time it runs or could run,
    `wall_ms` everything, waits included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_ms: int = Field(2_000, ge=1, le=600_000, description="Processor time of the guest, host waits excluded.")
    active_ms: int = Field(5_000, ge=1, le=900_000, description="Time running or runnable, host waits excluded.")
    wall_ms: int = Field(30_000, ge=1, le=3_600_000, description="Time from start to end, everything included.")
    memory_bytes: Size = Field(64 << 20, ge=48 << 20, le=2 << 30, description="Linear memory of the isolate.")
    source_bytes: Size = Field(256 << 10, ge=1, le=4 << 20, description="Length of the program, UTF-8.")
    inputs_bytes: Size = Field(1 << 20, ge=4, le=64 << 20, description="Length of the inputs, JSON.")
    log_lines: int = Field(1_000, ge=0, le=100_000, description="Log lines the program may write.")
    log_bytes: Size = Field(256 << 10, ge=0, le=64 << 20, description="Log bytes the program may write in all.")
    log_line_bytes: Size = Field(8 << 10, ge=64, le=1 << 20, description="A longer log line is cut, not refused.")
    result_bytes: Size = Field(1 << 20, ge=4, le=64 << 20, description="Length of the result, JSON.")
    host_calls: int = Field(200, ge=0, le=100_000, description="Tool calls and fetches in all.")
    parallel_host_calls: int = Field(16, ge=1, le=1_000, description="Host calls under way at once; more wait.")
    call_bytes: Size = Field(1 << 20, ge=64, le=64 << 20, description="Bytes one host call may carry out.")
    response_bytes: Size = Field(4 << 20, ge=64, le=64 << 20, description="Bytes one host call may bring in.")
    files: int = Field(20, ge=0, le=1_000, description="Files a program may emit.")
    file_bytes: Size = Field(4 << 20, ge=0, le=32 << 20, description="Length of one file; call_bytes bounds it, too.")
    files_bytes: Size = Field(8 << 20, ge=0, le=48 << 20, description="Length of all files together.")
    store_keys: int = Field(256, ge=0, le=10_000, description="Keys in the store of its session.")
    store_value_bytes: Size = Field(64 << 10, ge=0, le=16 << 20, description="Length of one key and its value, JSON.")
    store_bytes: Size = Field(1 << 20, ge=0, le=64 << 20, description="Length of all keys and values of the store.")
    fuel: int = Field(
        0, ge=0, le=10**15, description="Wasm instructions, roughly: a reproducible budget. 0: not counted, and faster."
    )


LimitSource = Literal["service", "profile", "request"]


def narrow(limits: Limits, ceilings: Limits, wanted: dict[str, int]) -> tuple[Limits, Mapping[str, LimitSource]]:
    """The effective limits of a request and who set each. Raises ValueError naming the limit that goes too far.

    A limit is the service's own default where the profile says nothing; a request may ask for any value up to the
    profile's ceiling.
    """
    own = _own_sources(Same(limits))
    if not wanted:
        return limits, own
    sources = dict(own)
    for name, value in wanted.items():
        if name not in sources:
            raise ValueError(f'there is no limit "{name}"; the limits are {", ".join(sources)}')
        ceiling = getattr(ceilings, name)
        if name == "fuel" and (value == 0 or limits.fuel == 0):
            raise ValueError("fuel is counted only where the profile says so; ask for 1 up to the profile's ceiling")
        if value > ceiling:
            raise ValueError(f"{name} {value} is more than {ceiling}, the most a request under this profile may have")
        sources[name] = "request"
    try:
        return Limits.model_validate({**limits.model_dump(), **wanted}), sources
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}, not {fault['input']}" for fault in error.errors())
        raise ValueError(faults) from None


@lru_cache(maxsize=256)
def _own_sources(limits: Same[Limits]) -> Mapping[str, LimitSource]:
    """Who set each limit of a profile; the same object for the same limits."""
    said = limits.of.model_fields_set
    return MappingProxyType({name: "profile" if name in said else "service" for name in Limits.model_fields})
