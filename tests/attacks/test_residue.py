"""Nothing of one execution is seen by another: names, state, timers, memory, randomness."""

import asyncio
import json

import pytest

from runtime.client import Client, Language
from tests.attacks.attack import Attack
from tests.attacks.corpus.residue import RESIDUES, Residue
from tests.attacks.launch import launch, look
from tests.attacks.target import Target

TIMES = 3


@pytest.mark.parametrize("residue", RESIDUES.values(), ids=RESIDUES)
async def test_what_a_program_leaves_is_gone(target: Target, client: Client, residue: Residue):
    leave = Attack(language=residue.language, code=residue.leave, statuses=())
    for _ in range(TIMES):
        await launch(client, leave, target)
        assert await look(client, residue.language, residue.look) == residue.clean


async def test_many_at_once_see_nothing_of_each_other(target: Target, client: Client):
    async def both(residue: Residue) -> tuple[str, str]:
        leave = Attack(language=residue.language, code=residue.leave, statuses=())
        _, seen = await asyncio.gather(launch(client, leave, target), look(client, residue.language, residue.look))
        return seen, residue.clean

    for seen, clean in await asyncio.gather(*[both(residue) for residue in RESIDUES.values()]):
        assert seen == clean


RANDOM: dict[Language, str] = {
    "javascript": "[Math.random(), crypto.randomUUID(), crypto.getRandomValues(new Uint32Array(4)).join()]",
    "python": "import random, secrets, tempfile, uuid\n"
    "[random.random(), str(uuid.uuid4()), secrets.token_hex(), random.SystemRandom().random(),"
    " next(tempfile._get_candidate_names())]",
}


@pytest.mark.parametrize("language", RANDOM)
async def test_no_two_executions_share_a_random_stream(target: Target, client: Client, language: Language):
    results = await asyncio.gather(*[look(client, language, RANDOM[language]) for _ in range(50)])
    for values in zip(*map(json.loads, results), strict=True):
        assert len(set(values)) == 50


@pytest.mark.parametrize(
    ("language", "code"), [("javascript", "Date.now()"), ("python", "import time\ntime.time_ns() // 10 ** 6")]
)
async def test_a_later_execution_has_a_later_clock(target: Target, client: Client, language: Language, code: str):
    times = [int(await look(client, language, code)) for _ in range(5)]
    assert times == sorted(times)
