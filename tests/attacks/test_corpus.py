"""Every attack of the corpus ends as it should, within its limits, and leaves the service whole and unmarked."""

import asyncio
from collections.abc import Iterator

import pytest
from _pytest.mark import ParameterSet

from runtime.client import Client, Language
from tests.attacks.attack import LIMITS, OK, Attack
from tests.attacks.corpus import host_memory, host_time, loops, memory, nesting, reach, timing
from tests.attacks.launch import launch, look, status_of
from tests.attacks.target import Target

THEMES = {
    "loops": loops.ATTACKS,
    "nesting": nesting.ATTACKS,
    "memory": memory.ATTACKS,
    "host memory": host_memory.ATTACKS,
    "host time": host_time.ATTACKS,
    "reach": reach.ATTACKS,
    "timing": timing.ATTACKS,
}
LANGUAGES: tuple[Language, ...] = ("javascript", "python")
MORE_CPU_US = 150_000
"""Beyond its limit an execution may use the tick in which it is noticed, and what stopping takes."""
MORE_WALL_US = 500_000
"""So late the gateway has ended a worker that did not end its program."""
MOST_GROWTH = 192 << 20
MOST_STANDBYS = 8


def cases() -> Iterator[ParameterSet]:
    for theme, attacks in THEMES.items():
        for name, attack in attacks.items():
            marks = pytest.mark.xfail(strict=True, reason=attack.broken) if attack.broken else ()
            yield pytest.param(attack, id=f"{theme}: {name}", marks=marks)


@pytest.fixture(scope="module")
def before(target: Target) -> tuple[int, int]:
    return target.resident_bytes(), target.descriptors()


@pytest.fixture(scope="module")
def clean() -> dict[Language, str]:
    """What the neutral programs returned the first time."""
    return {}


async def let_go(target: Target, before: int) -> None:
    """Wait until what attacks took is given back: an isolate is closed after its reply, a worker ends later."""
    async with asyncio.timeout(20):
        while target.resident_bytes() - before >= MOST_GROWTH:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("attack", list(cases()))
async def test_an_attack_ends_as_it_should(target: Target, client: Client, before, clean, attack: Attack):
    workers = target.workers().keys()
    clean.setdefault(attack.language, await look(client, attack.language))
    execution = await launch(client, attack, target)
    status = status_of(execution)
    assert status in attack.statuses, f"{status}: {execution.error} {execution.result_json[:200]}"
    assert status != OK or attack.result in {None, execution.result_json}
    limits = {**LIMITS, **attack.limits}
    assert execution.usage.cpu_us <= limits["cpu_ms"] * 1_000 + MORE_CPU_US
    assert execution.usage.active_us <= limits["active_ms"] * 1_000 + MORE_WALL_US
    assert execution.usage.wall_us <= limits["wall_ms"] * 1_000 + MORE_WALL_US
    assert execution.usage.peak_memory_bytes <= limits["memory_bytes"]
    assert await look(client, attack.language) == clean[attack.language]
    assert workers <= target.workers().keys(), "a worker died"
    assert len(target.workers()) <= len(workers) + MOST_STANDBYS
    await let_go(target, before[0])


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("prefix", ["js", "py"])
def test_every_theme_has_attacks_in_both_languages(theme: str, prefix: str):
    assert sum(name.startswith(f"{prefix} ") for name in THEMES[theme]) >= 5


async def test_memory_and_descriptors_are_bounded_after_all_of_them(target: Target, client: Client, before):
    for language in LANGUAGES:
        await look(client, language)
    resident, descriptors = before
    await let_go(target, resident)
    assert target.descriptors() <= descriptors + 16
