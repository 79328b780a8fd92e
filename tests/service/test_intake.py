"""What models really send, sent to a real cell."""

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from tests.service.programs import request, run

TAKEN = {
    "a fence": ("Here it is:\n```js\nreturn 6 * 7\n```", "javascript", "42", pb.LANGUAGE_JAVASCRIPT),
    "a fence, nothing asked": ("```python\nsum([40, 2])\n```", "", "42", pb.LANGUAGE_PYTHON),
    "Python sent as JavaScript": (
        "total = 0\nfor x in [40, 2]:\n    total += x\ntotal",
        "javascript",
        "42",
        pb.LANGUAGE_PYTHON,
    ),
    "JavaScript sent as Python": (
        "const xs = [40, 2];\nreturn xs[0] + xs[1]",
        "python",
        "42",
        pb.LANGUAGE_JAVASCRIPT,
    ),
    "an arrow function": ("async (inputs) => {\n  return 42\n}", "javascript", "42", pb.LANGUAGE_JAVASCRIPT),
    "a default export": ("export default async function () { return 42 }", "", "42", pb.LANGUAGE_JAVASCRIPT),
    "a main beside a helper": (
        "const f = () => 42\nasync function main() {\n  return f()\n}",
        "javascript",
        "42",
        pb.LANGUAGE_JAVASCRIPT,
    ),
    "an exported main": ("export async function main() {\n  return 42\n}", "", "42", pb.LANGUAGE_JAVASCRIPT),
    "a bare expression": ("40 + 2", "", "42", pb.LANGUAGE_JAVASCRIPT),
    "escaped for HTML": (
        "const f = (x) =&gt; x &gt; 1 &amp;&amp; 42\nreturn f(2)",
        "javascript",
        "42",
        pb.LANGUAGE_JAVASCRIPT,
    ),
    "Windows line breaks in Python": ("def f():\r\n    return 42\r\nf()", "python", "42", pb.LANGUAGE_PYTHON),
}


@pytest.mark.parametrize(("code", "asked", "result", "language"), TAKEN.values(), ids=TAKEN)
async def test_it_runs(client: Client, code, asked, result, language):
    execution = await run(client, code, asked)
    assert (execution.status, execution.result_json) == (pb.STATUS_SUCCEEDED, result), execution.error
    assert execution.language == language


async def test_the_reply_tells_what_was_made_of_the_text(client: Client):
    fenced = await run(client, "```js\nreturn 1\n```", "javascript")
    assert fenced.intake == "taken out of its Markdown fence"
    assert "read as Python, not JavaScript" in (await run(client, "def f():\n    return 1\nf()", "javascript")).intake
    assert not (await run(client, "return 1", "javascript")).intake


@pytest.mark.parametrize(
    ("code", "asked", "line", "source_line"),
    [
        ("Sure!\n\n```js\nconst a = null\na.b\n```", "javascript", 5, "a.b"),
        ("python\nx = 1\nx.y", "", 3, "x.y"),
    ],
)
async def test_an_error_has_the_line_of_what_was_sent(client: Client, code, asked, line, source_line):
    execution = await run(client, code, asked)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert (execution.error.line, execution.error.source_line) == (line, source_line)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("npm install lodash", "packages cannot be installed here"),
        ('{"name": "ledger.list", "arguments": {}}', "is a tool call as JSON"),
        ("```js\n1\n```\nor\n```js\n2\n```", "holds 2 fenced blocks"),
        ("```js\n```", "is empty"),
    ],
)
async def test_it_is_refused_with_a_sentence(client: Client, code, words):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.execute(request(code))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in caught.value.details()
