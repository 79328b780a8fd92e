"""docs/writing-programs.md: every example runs on a real cell and gives what the page says, and so does every table."""

import json
import re
from dataclasses import dataclass, field

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from tests.cell import ROOT, TestCell
from tests.service.programs import run

PAGE = (ROOT / "docs" / "writing-programs.md").read_text(encoding="utf-8")
LANGUAGES = {"js": "javascript", "ts": "typescript", "python": "python"}
# The profile of most tests knows no TypeScript.
PROFILES = {"typescript": "standard"}
LEVELS = {1: "debug", 2: "info", 3: "warning", 4: "error"}
ORIGIN, HOST = "https://rates.example", "rates.example"
EXPECTATION = re.compile(r"(?://|#) (result|log|error|refused|at|status): (.*)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INPUTS = json.loads(next(text for kind, text in BLOCK.findall(PAGE) if kind == "json"))


@dataclass(kw_only=True)
class Example:
    """A fenced program without its expectations, and these."""

    language: str
    line: int
    code: str = ""
    result: str | None = None
    error: str | None = None
    at: str | None = None
    status: str | None = None
    refused: str | None = None
    logs: list[str] = field(default_factory=list)


def examples() -> list[Example]:
    found = []
    for match in BLOCK.finditer(PAGE):
        kind, text = match.groups()
        if kind not in LANGUAGES:
            continue
        example = Example(language=LANGUAGES[kind], line=PAGE.count("\n", 0, match.start()) + 2)
        for line in text.splitlines():
            expected = EXPECTATION.fullmatch(line)
            if expected is None:
                example.code += f"{line}\n"
            elif expected[1] == "log":
                example.logs.append(expected[2])
            else:
                setattr(example, expected[1], expected[2])
        found.append(example)
    return found


def absences() -> list[tuple[str, str, str]]:
    """The rows of the tables of what is missing: language, program, how the error begins."""
    section = PAGE.split("## What is missing, and what says so")[1].split("\n## ")[0]
    rows = []
    for table in section.split("\n\n"):
        for program, error in re.findall(r"^\| `(.+)` \| (.+) \|$", table, re.MULTILINE):
            rows.append(("javascript" if "| JavaScript |" in table else "python", program, error))
    return rows


def told(execution: pb.Execution, cell: TestCell) -> str:
    host = cell.site.removeprefix("http://").partition(":")[0]
    return f"{execution.error.name}: {execution.error.message}".replace(host, HOST)


def test_the_page_has_examples_in_both_languages():
    found = examples()
    assert {example.language for example in found} == set(LANGUAGES.values())
    silent = [example.line for example in found if not (example.result or example.error or example.refused)]
    assert silent == []
    assert len(absences()) > 20


@pytest.mark.parametrize("example", examples(), ids=lambda example: f"line {example.line}")
async def test_an_example_gives_what_the_page_says(client: Client, cell: TestCell, example: Example):
    code, profile = example.code.replace(ORIGIN, cell.site), PROFILES.get(example.language, "tests")
    if example.refused is not None:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await run(client, code, example.language, inputs=INPUTS, profile=profile)
        assert caught.value.details() == example.refused
        return
    session = f"docs line {example.line}"
    execution = await run(client, code, example.language, inputs=INPUTS, profile=profile, session_id=session)
    shown = told(execution, cell)
    if example.result is not None:
        assert execution.status == pb.STATUS_SUCCEEDED, shown
        value = execution.result_json.replace(cell.site.removeprefix("http://").partition(":")[0], HOST)
        assert json.loads(value) == json.loads(example.result)
    else:
        assert shown == example.error
        assert pb.Status.Name(execution.status) == (example.status or "STATUS_PROGRAM_ERROR")
    assert [f"{LEVELS[line.level]} {line.text}" for line in execution.logs] == example.logs
    if example.at is not None:
        assert f"line {execution.error.line}, column {execution.error.column}" == example.at


@pytest.mark.parametrize(("language", "program", "error"), absences(), ids=[row[1] for row in absences()])
async def test_what_is_missing_says_so(client: Client, cell: TestCell, language, program, error):
    execution = await run(client, program.replace(ORIGIN, cell.site), language)
    assert told(execution, cell).startswith(error)


STANDARD = re.compile(
    r"\w*(?:Error|Array|Stack)|is\w+|parse\w+|(?:en|de)codeURI\w*|(?:un)?escape|eval|globalThis|undefined|NaN|Infinity"
    r"|ArrayBuffer|BigInt|Boolean|DataView|Date|Function|Iterator|JSON|Map|Math|Number|Object|Promise|Proxy|Reflect"
    r"|RegExp|Set|String|Symbol|WeakMap|WeakSet"
)
"""What every JavaScript engine has."""


async def test_the_globals_of_javascript_are_those_listed(client: Client):
    section = PAGE.split("## What is there")[1].split("\n## ")[0]
    listed = {name for line in re.findall(r"^    (.+)$", section, re.MULTILINE) for name in line.split()}
    execution = await run(client, "Object.getOwnPropertyNames(globalThis)")
    there = set(json.loads(execution.result_json))
    assert listed <= there
    assert {name for name in there - listed if not STANDARD.fullmatch(name)} == set()


async def test_the_modules_of_python_that_are_listed_can_be_imported(client: Client):
    listed = PAGE.split("Python: the standard library, with")[1].split("; the globals")[0]
    modules = re.findall(r"`([\w.]+)`", listed)
    assert len(modules) > 5
    code = "".join(f"import {name}\n" for name in modules)
    execution = await run(client, code, "python")
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error


def test_the_table_of_limits_names_them_all(cell: TestCell):
    section = PAGE.split("\n## Limits")[1]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \|[^|]*\|$", section, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    profile = cell.cell.loaded.profiles["tests"]
    assert named == set(profile.limits.model_dump())
