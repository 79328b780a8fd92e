"""What models really send: the program that comes of it, or the sentence that refuses it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.execution.intake import Refused, Taken, take_in

JS, TS, PY = "javascript", "typescript", "python"

# name: (sent, asked for, program, its language)
TAKEN = {
    "plain JavaScript": ("const x = 1\nreturn x", JS, "const x = 1\nreturn x", JS),
    "plain Python": ("x = 1\nx", PY, "x = 1\nx", PY),
    "bare expression": ("1 + 1", None, "1 + 1", JS),
    "bare expression with spaces around": ("  2 * 3\n", JS, "  2 * 3\n", JS),
    "async arrow": ("async () => {\n  return 1\n}", None, "async () => {\n  return 1\n}", JS),
    "default export": ("export default async (i) => i", JS, "export default async (i) => i", JS),
    "fence with js": ("```js\nreturn 1\n```", JS, "\nreturn 1", JS),
    "fence with javascript, nothing asked": ("```javascript\nreturn 1\n```\n", None, "\nreturn 1", JS),
    "fence with python": ("```python\nprint(1)\n```", None, "\nprint(1)", PY),
    "fence with py": ("```py\nx\n```", PY, "\nx", PY),
    "fence with ts": ("```ts\nconst x = 1\n```", None, "\nconst x = 1", TS),
    "fence without a label": ("```\nimport json\njson.dumps(1)\n```", None, "\nimport json\njson.dumps(1)", PY),
    "fence of tildes": ("~~~js\nreturn 1\n~~~", JS, "\nreturn 1", JS),
    "fence that is never closed": ("```js\nreturn 1\n", JS, "\nreturn 1", JS),
    "fence that was never opened": ("return 1\n```", JS, "return 1", JS),
    "fence with prose around": (
        "Here is the program you asked for:\n\n```js\nconst r = await codemode.a.b({})\nreturn r\n```\n\nIt lists all.",
        JS,
        "\n\n\nconst r = await codemode.a.b({})\nreturn r",
        JS,
    ),
    "prose that names code": (
        "I call `codemode.ledger.list()` first.\n```js\nreturn 1\n```",
        JS,
        "\n\nreturn 1",
        JS,
    ),
    "fence in a list item": (
        "1. Run this:\n   ```py\n   for x in y:\n       z(x)\n   ```",
        PY,
        "\n\nfor x in y:\n    z(x)",
        PY,
    ),
    "fence in a fence": ("````markdown\n```js\nreturn 1\n```\n````", JS, "\n\nreturn 1", JS),
    "two fences, one fits": ("```bash\nnpm install x\n```\nthen\n```js\nreturn 1\n```", JS, "\n\n\n\n\nreturn 1", JS),
    "two fences, the one asked for": ("```js\nreturn 1\n```\nor\n```python\n1\n```", PY, "\n\n\n\n\n1", PY),
    "fences inside a Python text": ('x = """\n```js\nfoo\n```\n"""\nx', PY, 'x = """\n```js\nfoo\n```\n"""\nx', PY),
    "fence says Python, JavaScript asked": ("```python\nx = 1\n```", JS, "\nx = 1", PY),
    "label line": ("javascript\nreturn 1", JS, "\nreturn 1", JS),
    "label line with a colon": ("Python:\nprint(1)", None, "\nprint(1)", PY),
    "label line ts": ("ts\nreturn 1", None, "\nreturn 1", TS),
    "label line in a fence": ("```\njavascript\nreturn 1\n```", None, "\n\nreturn 1", JS),
    "language: label": ("language: python\nx = 1", None, "\nx = 1", PY),
    "main in JavaScript": (
        "const h = () => 2\nasync function main() {\n  return h()\n}",
        JS,
        "const h = () => 2\nasync function main() {\n  return h()\n}\nmain(inputs);",
        JS,
    ),
    "exported main": (
        "export async function main() {\n}",
        JS,
        "export async function main() {\n}\nexport default main;",
        JS,
    ),
    "main that is called": ("function main() {}\nmain()", JS, "function main() {}\nmain()", JS),
    "main beside statements": ("function main() {}\nfetch('x')", JS, "function main() {}\nfetch('x')", JS),
    "main in Python is the guest's": ("def main():\n    return 1", PY, "def main():\n    return 1", PY),
    "Windows line breaks": ("const a = 1\r\nreturn a\r\n", JS, "const a = 1\nreturn a\n", JS),
    "byte order mark": ("\ufeffreturn 1", JS, "return 1", JS),
    "zero-width spaces": ("const\u200b x = 1;\u200b\nreturn x", JS, "const x = 1;\nreturn x", JS),
    "zero-width in a string": ("return '\u200b'", JS, "return '\u200b'", JS),
    "zero-width in a pattern": ("return s.replace(/\u200b/g, '')", JS, "return s.replace(/\u200b/g, '')", JS),
    "emoji joined in a string": ("return '👩\u200d💻'", JS, "return '👩\u200d💻'", JS),
    "no-break spaces": ("if\u00a0x:\n\u00a0\u00a0y()", PY, "if x:\n  y()", PY),
    "HTML escapes": (
        "const f = (x) =&gt; x &lt; 3 &amp;&amp; x;\nreturn f(1)",
        JS,
        "const f = (x) => x < 3 && x;\nreturn f(1)",
        JS,
    ),
    "HTML escapes in Python": ("if x &gt;= 3:\n    y()", PY, "if x >= 3:\n    y()", PY),
    "HTML in a string": ("return '&lt;b&gt; &amp;&amp;'", JS, "return '&lt;b&gt; &amp;&amp;'", JS),
    "HTML beside real operators": ("return a < b ? '&lt;' : x =&gt; y", JS, "return a < b ? '&lt;' : x =&gt; y", JS),
    "curly quotes": ("return “hello”", JS, 'return "hello"', JS),
    "curly single quotes": ("print(\u2018x\u2019)", PY, "print('x')", PY),
    "curly quotes in a string": ("return '“hello”'", JS, "return '“hello”'", JS),
    "Python sent as JavaScript": (
        "import json\nfor x in inputs:\n    print(x)",
        JS,
        "import json\nfor x in inputs:\n    print(x)",
        PY,
    ),
    "JavaScript sent as Python": (
        "const x = await fetch('y');\nreturn x",
        PY,
        "const x = await fetch('y');\nreturn x",
        JS,
    ),
    "TypeScript sent as Python": ("const x: number = 1;\nreturn x", PY, "const x: number = 1;\nreturn x", TS),
    "TypeScript sent as JavaScript": (
        "interface A { b: string }\nreturn 1",
        JS,
        "interface A { b: string }\nreturn 1",
        TS,
    ),
    "JavaScript sent as TypeScript": ("return 1", TS, "return 1", TS),
    "Python in a JavaScript text": (
        "const s = `\nimport os\ndef f():\n    pass\n`\nreturn s",
        JS,
        "const s = `\nimport os\ndef f():\n    pass\n`\nreturn s",
        JS,
    ),
    "JavaScript in a Python text": (
        'p = """\nconst x = 1\nconst y = 2\n"""\nfor a in p:\n    a',
        PY,
        'p = """\nconst x = 1\nconst y = 2\n"""\nfor a in p:\n    a',
        PY,
    ),
    "require": ("const _ = require('lodash')", JS, "const _ = require('lodash')", JS),
    "import": ("import x from 'y'\nx()", JS, "import x from 'y'\nx()", JS),
    "a variable called like a command": ("const ls = [1]\nls", JS, "const ls = [1]\nls", JS),
    "an assignment to one": ("find = 3\nfind", PY, "find = 3\nfind", PY),
    "an object in Python": ('{"a": 1}', PY, '{"a": 1}', PY),
    "a list of numbers": ("[1, 2]", None, "[1, 2]", JS),
    "\\n in a string": ('return "a;\\nb"', JS, 'return "a;\\nb"', JS),
    "\\n in a pattern": ("return t.match(/\\nfrom (.*)/)", JS, "return t.match(/\\nfrom (.*)/)", JS),
    "a shebang": ("#!/usr/bin/env node\nreturn 1", JS, "#!/usr/bin/env node\nreturn 1", JS),
}

# name: (sent, asked for, words of the sentence)
REFUSED = {
    "nothing": ("  \n", None, "is empty"),
    "an empty fence": ("```js\n\n```", JS, "is empty"),
    "npm": ("npm install lodash", JS, "line 1 (npm); packages cannot be installed here"),
    "npm ahead of a program": ("npm i axios\nconst axios = require('axios')", JS, "packages cannot be installed"),
    "pip": ("pip install requests", PY, "packages cannot be installed"),
    "a notebook's pip": ("!pip install requests\nimport requests", PY, "packages cannot be installed"),
    "curl": ("curl -s https://example.com", None, "send a program that calls fetch(url)"),
    "curl with a prompt": ("$ curl https://example.com", JS, "(curl), and there is no shell here"),
    "ls": ("ls -la /tmp", None, "(ls), and there is no shell here"),
    "ls alone": ("ls", None, "is a shell command"),
    "cat after a comment": ("# show it\ncat /etc/passwd", None, "on line 2 (cat)"),
    "python, the command": ("python main.py", None, "(python), and there is no shell"),
    "a shell script": ("#!/bin/bash\nset -e", None, "is a shell script"),
    "a fenced shell script": ("```bash\nls\n```", None, "is a shell script"),
    "another language in a fence": ("```go\nfunc main() {}\n```", None, "of another language"),
    "a tool call": ('{"name": "ledger.list", "arguments": {"limit": 3}}', None, "is a tool call as JSON"),
    "a tool call in a fence": ('```\n{"tool": "x", "parameters": {}}\n```', JS, "is a tool call as JSON"),
    "tool calls": ('[{"id": "1", "function": {}, "args": {}}]', JS, "is a tool call as JSON"),
    "code as JSON": ('{"code": "return 1", "language": "javascript"}', JS, "is a tool call as JSON"),
    "any other object": ('{"a": 1}', JS, "is a JSON object"),
    "a tag": ("<tool_call>{}</tool_call>", None, "is markup"),
    "a script tag": ("<script>\nreturn 1\n</script>", JS, "is markup"),
    "two programs": ("```js\nreturn 1\n```\nor\n```js\nreturn 2\n```", JS, "holds 2 fenced blocks; send one program"),
    "two programs, nothing asked": ("```js\n1\n```\nor\n```python\n1\n```", None, "holds 2 fenced blocks"),
    "escaped twice": ("const x = 1;\\nreturn x", JS, "has \\n in place of line breaks"),
    "Python escaped twice": ("import json\\nprint(json.dumps(1))", PY, "has \\n in place of line breaks"),
    "both languages": (
        "def f():\n    x = 1\nfor y in z:\n    f()\nconst a = f()",
        JS,
        "is mostly Python, with some of both",
    ),
}


@pytest.mark.parametrize(("sent", "asked", "program", "language"), TAKEN.values(), ids=TAKEN)
def test_is_taken(sent, asked, program, language):
    taken = take_in(sent, asked)
    assert isinstance(taken, Taken), taken
    assert (taken.code, taken.language) == (program, language)
    assert taken.detected == (asked is None)
    assert bool(taken.note) == (program != sent.replace("\r\n", "\n").lstrip("\ufeff") or asked not in {None, language})


@pytest.mark.parametrize(("sent", "asked", "words"), REFUSED.values(), ids=REFUSED)
def test_is_refused_with_a_sentence(sent, asked, words):
    refused = take_in(sent, asked)
    assert isinstance(refused, Refused), refused
    assert words in refused.message
    assert refused.message[-1] != "."


def test_the_note_says_what_was_made_of_the_text():
    taken = take_in("```python\nfor\u200b x in y:\n    x\n```", "javascript")
    assert isinstance(taken, Taken)
    assert taken.note == "taken out of its Markdown fence; invisible characters removed; read as Python, not JavaScript"


PIECES = st.sampled_from(
    [
        *(
            "```",
            "```js",
            "```python",
            "~~~",
            "````",
            "   ```ts",
            "javascript",
            "Python:",
            "\ufeff",
            "\u200b",
            "\u00a0",
        ),
        *(
            "&lt;",
            "=&gt;",
            "&amp;&amp;",
            " &amp;lt; ",
            "“",
            "”",
            "\u2018",
            "\u2019",
            '"',
            "'",
            "`",
            '"""',
            "/*",
            "*/",
            "//",
            "# ",
            "\\",
        ),
        *("const x = 1", "def f():", "    return 1", "return 1;", "for x in y:", "function main() {", "}", "main()"),
        *(
            "export default ",
            "interface A {",
            "type A = B",
            "npm install x",
            "ls",
            "{",
            "[",
            '{"name": 1, "arguments": 2}',
        ),
        *("Here is the code.", "\r\n", "\r", "\n", "\n\n", " ", "\t", "\\n", ";", "=>", "async () => ", "\ud800", "😀"),
    ]
)
TEXTS = st.one_of(
    st.lists(PIECES, max_size=30).map("".join), st.lists(PIECES, max_size=20).map("\n".join), st.text(max_size=300)
)
ASKED = st.sampled_from([None, "javascript", "typescript", "python"])


@given(TEXTS, ASKED)
@settings(max_examples=1_500, deadline=None)
def test_whatever_is_sent(sent, asked):
    taken = take_in(sent, asked)
    if isinstance(taken, Refused):
        assert taken.message
        assert "\n" not in taken.message
        return
    before, after = _lines(sent), taken.code.split("\n")
    if "main is called" in taken.note:
        assert "main" in after.pop()
    assert len(after) <= len(before)
    assert all(len(new) <= len(old) for old, new in zip(before, after, strict=False))
    assert taken.code.strip()


def _lines(text):
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@given(st.lists(PIECES, max_size=12).map("\n".join), ASKED)
@settings(max_examples=1_500, deadline=None)
def test_what_was_taken_is_taken_as_it_is(sent, asked):
    taken = take_in(sent, asked)
    if isinstance(taken, Taken):
        again = take_in(taken.code, taken.language)
        assert isinstance(again, Taken)
        assert (again.code, again.language) == (taken.code, taken.language)


# Each of these took a quadratic pattern seconds.
@pytest.mark.parametrize(
    "piece",
    [
        *"\n `\"'/*#;(){}[]<>&\\:=,.",
        "if ",
        "if\n",
        "a as ",
        "```\n",
        "~~~\n",
        '"""',
        "/*",
        "type A<",
        "\\n",
        "&lt;",
        "“",
        "for x",
        "npm ",
    ],
)
def test_a_quarter_of_a_megabyte_of_anything(piece):
    sent = piece * (262_144 // len(piece))
    for asked in ("javascript", None):
        taken = take_in(sent, asked)
        if isinstance(taken, Refused):
            assert 10 < len(taken.message) < 500
            continue
        assert taken.language in {JS, TS, PY}
        assert taken.code.strip()
        # Nothing is made up, and what is left keeps its lines; a main may be called at the end.
        assert len(taken.code) <= len(sent) + 100
        assert taken.code.count("\n") <= sent.count("\n") + 1
        assert taken.note or taken.code == sent
