"""Attackers in numbers, beside a tenant who does nothing wrong."""

import asyncio
import signal

import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from tests.attacks.attack import CPU, MEMORY, OUTPUT, WALL, Attack, javascript, python
from tests.attacks.launch import context, launch, look, status_of
from tests.attacks.target import PROFILE, Target
from tests.service.programs import request

PATIENT = {"active_ms": 20_000, "wall_ms": 20_000}
ATTACKERS = 16

CROWDS: dict[str, tuple[Attack, Attack]] = {
    "spinning": (javascript("for (;;);", CPU, limits=PATIENT), python("while True: pass", CPU, limits=PATIENT)),
    "growing": (
        javascript("const a = []; for (;;) a.push(new Uint8Array(1e6).fill(1))", MEMORY, limits=PATIENT),
        python("a = []\nwhile True: a.append(bytearray(10 ** 6))", MEMORY, limits=PATIENT),
    ),
    "logging": (
        javascript("for (;;) console.log('x'.repeat(300))", OUTPUT, limits=PATIENT),
        python("while True: print('x' * 300)", OUTPUT, limits=PATIENT),
    ),
    "waiting": (
        javascript("await fetch(inputs.site + '/silent')", WALL, limits={"wall_ms": 800}),
        python("await fetch(inputs['site'] + '/silent')", WALL, limits={"wall_ms": 800}),
    ),
    "calling": (
        javascript("for (;;) { try { await codemode.x.y({}); } catch {} }", CPU, limits=PATIENT),
        python("while True:\n  try: await codemode.x.y()\n  except Exception: pass", CPU, limits=PATIENT),
    ),
}


@pytest.mark.parametrize("crowd", CROWDS.values(), ids=CROWDS)
async def test_sixteen_attackers_end_as_they_should_beside_a_quiet_tenant(target: Target, client: Client, crowd):
    workers = target.workers().keys()
    attacks = [crowd[number % 2] for number in range(ATTACKERS)]
    running = [asyncio.create_task(launch(client, attack, target)) for attack in attacks]
    for language in ("javascript", "python") * 3:
        await look(client, language)
    for attack, execution in zip(attacks, await asyncio.gather(*running), strict=True):
        assert status_of(execution) in attack.statuses, execution.error
    assert workers <= target.workers().keys()


@pytest.mark.parametrize("number", [signal.SIGCONT, signal.SIGWINCH, signal.SIGURG, signal.SIGCHLD])
async def test_a_signal_while_a_host_call_blocks_disturbs_nobody(target: Target, client: Client, number):
    waiting = request(
        "let name; try { await fetch(inputs.site + '/silent', { signal: AbortSignal.timeout(300) }); }"
        " catch (e) { name = e.name; } name",
        "javascript",
        inputs={"site": target.site},
        profile=PROFILE,
        context=context("others"),
    )
    async for event in client.stream(waiting):
        if event.WhichOneof("event") == "call_started":
            for worker in target.workers().values():
                worker.send_signal(number)
    assert event.finished.status == pb.STATUS_SUCCEEDED, event.finished.error
    assert event.finished.result_json == '"TimeoutError"'


async def test_python_without_memory_for_an_error_is_still_out_of_memory(target: Target, client: Client):
    def attack(size: int) -> Attack:
        return python(
            f"a = []\nwhile True:\n  try: 1 / 0\n  except Exception as e: a.append((e, [0] * {size}))",
            MEMORY,
            limits={"cpu_ms": 2_000, **PATIENT},
        )

    for size in range(40, 200, 8):
        execution = await launch(client, attack(size), target)
        assert status_of(execution) == MEMORY, execution.error
