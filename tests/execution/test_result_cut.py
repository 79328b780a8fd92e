"""What is told of a result that cannot be cut by its structure: still valid JSON, and short."""

import json

import pytest

from runtime.execution.result_cut import cut_text

UNREADABLE = {
    "too many values": "[" + "0," * 1_000_001 + "0]",
    "too deep": "[" * 1_000 + "]" * 1_000,
    "no JSON, from a guest that lies": "{" * 1_000,
    "what only Python reads": "[NaN]" + " " * 600,
    "cut off": '"' + "x" * 1_000,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_told_by_its_length(text: str):
    shown = cut_text(text, 256)
    assert json.loads(shown.text).startswith(f"... {len(text)} characters of ")
    assert len(shown.text.encode()) <= 256
    (omission,) = shown.omissions
    assert (omission.shown, omission.left_out) == (0, len(text))
