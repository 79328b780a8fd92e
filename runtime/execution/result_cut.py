"""The result of an execution that asked for no more than so many bytes of it."""

from runtime.execution.cut import Cut, Omission, cut, json_text
from runtime.execution.execution import Execution, ResultCut
from runtime.execution.results import Results
from sandboxes.bounded_json import MOST_ANSWER_VALUES, JsonBoundError, loads, no_constant


def cut_result(execution: Execution, results: Results) -> None:
    """Leave of a large result what the request wanted; the whole is kept under a handle."""
    program, text = execution.program, execution.result
    most = program.inline_bytes
    total = len(text.encode(errors="replace")) if most else 0
    if total <= most:
        return
    handle, expires_at = results.keep(program.caller.tenant, text)
    shown = cut_text(text, most)
    execution.result = shown.text
    execution.cut = ResultCut(handle=handle, expires_at=expires_at, total_bytes=total, omissions=shown.omissions)


def cut_text(text: str, most_bytes: int) -> Cut:
    """JSON text in at most so many bytes; of one that has too many values to be decoded here, only its length."""
    try:
        return cut(loads(text, most_values=MOST_ANSWER_VALUES, parse_constant=no_constant), most_bytes)
    except JsonBoundError as error:
        why = str(error)
    except ValueError:
        why = "no JSON"
    left = Omission(path="", kind="characters", shown=0, left_out=len(text))
    return Cut(text=json_text(f"... {len(text)} characters of {why[:80]}"), omissions=(left,))
