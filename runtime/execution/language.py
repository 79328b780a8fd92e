"""What a program is written in, told from its text alone."""

import re
from typing import Literal

Language = Literal["javascript", "python"]

_MOST_LOOKED_AT = 16_384

# Each pattern is something one language has on a line of its own and the other would not parse.
_PYTHON = re.compile(
    r"""^\s*(?:async\s+)?def\s+\w+\s*\(|^\s*(?:if|elif|for|while|with|try|except|else|class|finally)\b[^{};]*:\s*(?:\#.*)?$
      |^\s*import\s+[\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+)*\s*$|^\s*from\s+[\w.]+\s+import\s|\bprint\(|^\s*\#(?!!)
      |\b(?:None|True|False)\b|^\s*raise\b|\bnot\s+in\b|\bf["']|\blambda\b|\basyncio\.|^\s*pass\s*$""",
    re.MULTILINE | re.VERBOSE,
)
_JAVASCRIPT = re.compile(
    r"""\b(?:const|let|var)\s+[\w${\[]|=>|\bfunction\b\s*\*?\s*\w*\s*\(|===|!==|&&|\|\||\bconsole\.\w+\(|;\s*$|^\s*//|/\*
      |\b(?:null|undefined|true|false)\b|\bnew\s+\w+|\bexport\s+default\b|\btypeof\b|`|\{\s*$|^\s*\}|\bMath\.|\bJSON\.
      |\bcodemode\.[\w.]+\(\s*\{""",
    re.MULTILINE | re.VERBOSE,
)


def detect_language(code: str) -> Language:
    """The likelier language; JavaScript where nothing speaks for either."""
    head = code[:_MOST_LOOKED_AT]
    python = sum(1 for _ in _PYTHON.finditer(head))
    javascript = sum(1 for _ in _JAVASCRIPT.finditer(head))
    return "python" if python > javascript else "javascript"
