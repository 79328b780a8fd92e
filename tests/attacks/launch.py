"""How attacks are run, and the neutral program that runs after each."""

import asyncio

from runtime.client import Client, Context, Language
from runtime.rpc import runtime_pb2 as pb
from tests.attacks.attack import LIMITS, Attack
from tests.attacks.target import PROFILE, Target
from tests.service.programs import run

_HANGS_S = 30.0
_WARM_RUNS = 40

NEUTRAL: dict[Language, str] = {
    "javascript": """
        const names = (object) => Object.getOwnPropertyNames(object).sort().join();
        const all = [globalThis, Object.prototype, Array.prototype, Function.prototype, Promise.prototype, Promise,
            String.prototype, RegExp.prototype, Error, Error.prototype, JSON, Math, Symbol].map(names).join(";");
        let hash = 0;
        for (let i = 0; i < all.length; i++) hash = (hash * 31 + all.charCodeAt(i)) | 0;
        [hash, JSON.stringify({ a: [1] }), Math.max(1, 2), await Promise.resolve(3)]""",
    "python": """
import asyncio, builtins, json, sys, zlib
await asyncio.sleep(0)
seen = (sorted(dir(builtins)), sorted(sys.modules), sorted(globals()), sys.getrecursionlimit(), len(sys.meta_path))
[zlib.crc32(repr(seen).encode()), json.dumps({"a": [1]}), max(1, 2), len(asyncio.all_tasks())]""",
}
"""A fingerprint of the language as a program finds it: the same before and after any attack."""


def context(owner: str) -> Context:
    return Context(actor="attacker", owner=owner, environment="dev", reason="an attack", expires_in_s=600)


async def launch(client: Client, attack: Attack, target: Target, owner: str = "attackers") -> pb.Execution:
    """Run an attack; one that hangs is a failure."""
    async with asyncio.timeout(_HANGS_S):
        return await run(
            client,
            attack.code,
            attack.language,
            inputs={"site": target.site},
            limits={**LIMITS, **attack.limits},
            profile=PROFILE,
            context=context(owner),
        )


async def look(client: Client, language: Language, code: str = "") -> str:
    """What a neutral program, or `code`, returns now."""
    execution = await run(client, code or NEUTRAL[language], language, profile=PROFILE, context=context("others"))
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    assert not any("left" in line.text for line in execution.logs)
    return execution.result_json


def status_of(execution: pb.Execution) -> str:
    return pb.Status.Name(execution.status).removeprefix("STATUS_").lower()


async def warm_up(target: Target) -> None:
    """Runs until every worker has had its share, so that what follows is measured against a service in use."""
    async with Client(target.cell.grpc_address, target.cell.token) as client:
        for language in NEUTRAL:
            await asyncio.gather(*[look(client, language) for _ in range(_WARM_RUNS)])
