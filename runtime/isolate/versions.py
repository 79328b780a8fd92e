"""Which versions of the engines are too old to run strangers' programs on, and why. Pure decisions but for one look.

Advisories are named as their publishers name them. An entry belongs here if it could matter to a host that runs its
own two guests, discards every store after one use, and gives programs no WebAssembly of their own.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from runtime.isolate.shipped import wasm_path
from sandboxes.decision import Decision

WASMTIME: Final = "wasmtime"
QUICKJS: Final = "quickjs-ng"


@dataclass(frozen=True, kw_only=True, slots=True)
class Advisory:
    """One published weakness: its identifiers, what it is, and the first versions without it."""

    ids: tuple[str, ...]
    what: str
    fixed_in: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Floor:
    """The oldest version that new executions may start on."""

    engine: str
    least: str
    advisories: tuple[Advisory, ...]


FLOORS: Final = (
    Floor(
        engine=WASMTIME,
        least="50.0.0",
        advisories=(
            Advisory(
                ids=("GHSA-897f-g5gm-fmxm", "CVE-2026-115889"),
                what="bit-packing in Cranelift overflows silently and miscompiles",
                fixed_in="36.0.19 and the releases of 2026-10-19",
            ),
            Advisory(
                ids=("GHSA-mghf-wjfp-p5xm", "CVE-2026-115893"),
                what="aarch64: a large br_table can jump to a wrong target",
                fixed_in="36.0.19 and the releases of 2026-10-19",
            ),
            Advisory(
                ids=("GHSA-32h6-97mm-8q3c", "CVE-2026-115384"),
                what="components: a callback's result count is not validated, the native stack overflows",
                fixed_in="48.0.4, 49.0.2",
            ),
            Advisory(
                ids=("GHSA-5hhx-4wrr-3j9g", "RUSTSEC-2026-0358"),
                what="yielding in a component's start function panics the host",
                fixed_in="48.0.6, 49.0.3",
            ),
            Advisory(
                ids=("GHSA-2hw9-mc66-jc2q", "CVE-2026-104855"),
                what="epoch checks inside bulk operations expose a broken state to whoever goes on with the store",
                fixed_in="46.0.2, 47.0.3",
            ),
            Advisory(
                ids=("GHSA-hgjw-h833-99q9", "RUSTSEC-2026-0222"),
                what="stores mix up type indices between engines",
                fixed_in="36.0.13, 46.0.2, 47.0.3",
            ),
            Advisory(
                ids=("GHSA-jhxm-h53p-jm7w", "CVE-2026-34971"),
                what="aarch64: a miscompiled heap access leaves the sandbox",
                fixed_in="36.0.7, 42.0.2, 43.0.1",
            ),
            Advisory(
                ids=("GHSA-394w-hwhg-8vgm", "CVE-2026-35195"),
                what="components: transcoding a string writes out of bounds",
                fixed_in="36.0.7, 42.0.2, 43.0.1",
            ),
            Advisory(
                ids=("GHSA-vc8c-j3xm-xj73", "CVE-2026-24116"),
                what="x86-64: f64.copysign loads beyond its operand",
                fixed_in="36.0.5, 40.0.3, 41.0.1",
            ),
        ),
    ),
    Floor(
        engine=QUICKJS,
        least="0.16.0",
        advisories=(
            Advisory(
                ids=("GHSA-jp52-chwg-2p9p", "CVE-2026-120438"),
                what="32-bit hosts, which wasm32 is: a Proxy's ownKeys overflows the heap",
                fixed_in="0.16.0",
            ),
            Advisory(
                ids=("GHSA-9wv5-5cgr-grj6", "CVE-2026-120439"),
                what="32-bit hosts, which wasm32 is: sorting a typed array overflows the heap",
                fixed_in="0.16.0",
            ),
            Advisory(
                ids=("CVE-2026-0821", "CVE-2026-0822", "CVE-2026-1145"),
                what="typed arrays: constructor and sort overflow the heap",
                fixed_in="the releases after 0.11.0",
            ),
        ),
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineState:
    """An engine as found, its floor, and whether new executions may start on it."""

    engine: str
    version: str
    least: str
    decision: Decision


def judge(found: Mapping[str, str], accepted: Iterable[str]) -> tuple[EngineState, ...]:
    """Every engine's state. `accepted` are `"ENGINE VERSION"`s that the operator takes as they are."""
    overrides = frozenset(accepted)
    return tuple(
        EngineState(
            engine=floor.engine,
            version=found.get(floor.engine, ""),
            least=floor.least,
            decision=_judge_one(floor, found.get(floor.engine, ""), overrides),
        )
        for floor in FLOORS
    )


def _judge_one(floor: Floor, present: str, overrides: frozenset[str]) -> Decision:
    rule = f"{floor.engine} >= {floor.least}"
    name = f"{floor.engine} {present}".strip()
    if present and _parts(present) >= _parts(floor.least):
        return Decision(allowed=True, reason=f"{name} is not below {floor.least}", rule=rule)
    if name in overrides:
        return Decision(allowed=True, reason=f'accept_vulnerable_versions names "{name}"', rule=rule)
    ids = ", ".join(advisory.ids[0] for advisory in floor.advisories)
    what = f"{name} is below {floor.least}" if present else f"the version of {floor.engine} cannot be told"
    return Decision(
        allowed=False,
        reason=f'{what} ({ids}); update it, or write accept_vulnerable_versions: ["{name}"] into lockgate.yaml',
        rule=rule,
    )


def _parts(text: str) -> tuple[int, ...]:
    """Numbers of a version; a pre-release counts as older than anything."""
    match = re.fullmatch(r"\d+(?:\.\d+)*", text)
    return tuple(int(part) for part in text.split(".")) if match else ()


def found_versions() -> dict[str, str]:
    """Wasmtime as installed, QuickJS as the JavaScript image was built from. What cannot be told is left out."""
    found: dict[str, str] = {}
    with contextlib.suppress(PackageNotFoundError):
        found[WASMTIME] = version("wasmtime")
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        built = json.loads(wasm_path("javascript").with_suffix(".json").read_bytes())
        sources = dict(source.split("==", 1) for source in built["sources"])
        found[QUICKJS] = sources[QUICKJS]
    return found
