"""How tests run programs."""

from typing import Any

from runtime.client import Client, Context, Language, execute_request
from runtime.rpc import runtime_pb2 as pb

CONTEXT = Context(actor="tester", owner="tests", environment="dev", reason="a test", expires_in_s=120)


def request(code: str, language: Language = "javascript", **options: Any) -> pb.ExecuteRequest:
    options.setdefault("profile", "tests")
    options.setdefault("context", CONTEXT)
    return execute_request(code, language=language, **options)


async def run(client: Client, code: str, language: Language = "javascript", **options: Any) -> pb.Execution:
    return await client.execute(request(code, language, **options))


def texts(execution: pb.Execution) -> list[str]:
    return [line.text for line in execution.logs]
