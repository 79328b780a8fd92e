"""How the completed writes of an execution are undone: the calls, from its record, and the program that makes them.

A rollback is an execution of its own, under the same profile and for the same owner: its calls pass the same policy and
approvals, and it is journalled, paused and recovered like any other.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from runtime.execution.hostcall import HostCallError
from runtime.execution.literal_request import Inverse
from runtime.execution.pointer import NoSuchPartError, part_at
from runtime.store.records import CallRow

_RESPONSE: Final = ".response"

JAVASCRIPT: Final = """\
const outcomes = [];
for (const step of inputs) {
  try {
    await codemode[step.upstream][step.name](step.arguments);
    outcomes.push({number: step.number, outcome: "undone", reason: ""});
  } catch (error) {
    outcomes.push({number: step.number, outcome: String(error.code ?? "error"), reason: String(error.message)});
  }
}
return outcomes;
"""
PYTHON: Final = """\
outcomes = []
for step in inputs:
    try:
        await getattr(getattr(codemode, step["upstream"]), step["name"])(**step["arguments"])
        outcomes.append({"number": step["number"], "outcome": "undone", "reason": ""})
    except Exception as error:
        code = str(getattr(error, "code", "error"))
        outcomes.append({"number": step["number"], "outcome": code, "reason": str(error)})
outcomes
"""

type InverseOf = Callable[[str, str], Inverse | None]
"""From a tool's full name, and the id of the stream its program was sent in, to what undoes a call of it.

Raises HostCallError where that cannot be known any more.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A completed write, by its number and target, and the call that undoes it.

    Where there is none, `outcome` says so in a word and `why` in words; `why` is empty if there is one.
    """

    number: int
    target: str
    tool: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    outcome: str = "not undoable"
    why: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of a step: "undone", or the code of an error and its words."""

    number: int
    outcome: str
    reason: str = ""


def steps_of(calls: Sequence[CallRow], inverse_of: InverseOf, session: str = "") -> tuple[Step, ...]:
    """The completed writes of an execution, the last first. `session`: the stream it was sent in, empty for none."""
    done = [(row, json.loads(row.record or "{}")) for row in calls if row.state == "done" and row.ok]
    writes = [(row, record) for row, record in done if _changed(row, record)]
    return tuple(_step(row, str(record.get("target", "")), inverse_of, session) for row, record in reversed(writes))


def _changed(row: CallRow, record: dict[str, Any]) -> bool:
    own = row.name.startswith("lockgate.")
    return not row.read_only and not own and record.get("outcome") == "ok" and not record.get("planned")


def _step(row: CallRow, target: str, inverse_of: InverseOf, session: str) -> Step:
    tool = row.name.removesuffix(_RESPONSE)
    try:
        inverse = inverse_of(tool, session) if tool else None
    except HostCallError as error:
        return Step(number=row.number, target=target, outcome=error.code, why=str(error))
    if inverse is None:
        return Step(number=row.number, target=target, why="no inverse is declared")
    try:
        arguments, result = json.loads(row.payload or "null"), json.loads(row.answer or "null")
        if row.name.endswith(_RESPONSE) and isinstance(result, dict):
            result = result.get("data")
        told = {"arguments": arguments, "result": result}
        given = {name: part_at(told, pointer) for name, pointer in inverse.arguments.items()}
    except NoSuchPartError as error:
        return Step(number=row.number, target=target, why=f"what {inverse.tool} needs is not in its record: {error}")
    except ValueError:
        return Step(number=row.number, target=target, why="its record has no arguments and no result any more")
    return Step(number=row.number, target=target, tool=inverse.tool, arguments=given)


def undoable(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Those that can be undone."""
    return tuple(step for step in steps if step.tool)


def program_text(language: Literal["javascript", "typescript", "python"]) -> str:
    """The program that undoes steps given as its inputs, going on after one that fails."""
    return PYTHON if language == "python" else JAVASCRIPT


def program_inputs(steps: Sequence[Step]) -> str:
    """Its inputs."""
    told = []
    for step in undoable(steps):
        upstream, _, name = step.tool.partition(".")
        told.append({"number": step.number, "upstream": upstream, "name": name, "arguments": step.arguments})
    return json.dumps(told)


def tools_in(inputs: str) -> dict[int, str]:
    """The tools that undo, by the numbers of the calls that they undo, from such inputs. Nothing for anything else."""
    try:
        return {int(each["number"]): f"{each['upstream']}.{each['name']}" for each in json.loads(inputs)}
    except (ValueError, TypeError, KeyError):
        return {}


def outcomes_of(result: str) -> tuple[Outcome, ...]:
    """What the program returned. Nothing for anything else."""
    try:
        return tuple(
            Outcome(number=int(each["number"]), outcome=str(each["outcome"]), reason=str(each["reason"]))
            for each in json.loads(result)
        )
    except (ValueError, TypeError, KeyError):
        return ()
