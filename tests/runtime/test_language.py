import pytest

from runtime.execution.language import detect_language

JAVASCRIPT = {
    "expression": "1 + 1",
    "const": "const x = await codemode.ledger.list({limit: 1})\nreturn x",
    "arrow": "async () => { return 1 }",
    "default export": "export default async function (inputs) { return inputs }",
    "console": 'console.log("from x import y")',
    "object": "({a: true, b: null})",
    "template": "`${1}`",
}
PYTHON = {
    "import": "import json\njson.dumps({})",
    "def": "async def main():\n    return 1",
    "print": 'print("hi")',
    "for": "for x in range(3):\n    print(x)",
    "literals": "[None, True, False]",
    "await": "r = await codemode.ledger.list(limit=1)\nfor t in r:\n    total = t['a']",
    "comment": "# add\n1 + 1",
    "f-string": "x = 3\nf'{x}'",
}


@pytest.mark.parametrize("code", JAVASCRIPT.values(), ids=JAVASCRIPT)
def test_javascript_is_recognised(code):
    assert detect_language(code) == "javascript"


@pytest.mark.parametrize("code", PYTHON.values(), ids=PYTHON)
def test_python_is_recognised(code):
    assert detect_language(code) == "python"
