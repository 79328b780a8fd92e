"""What a program is written in, told from its text alone: by statements that only one language has.

Every pattern stays within a line, or ends with the text at the latest, so that the time is linear in the length.
"""

import re
from typing import Literal, NamedTuple

Language = Literal["javascript", "typescript", "python"]
Family = Literal["javascript", "python"]

_MOST_LOOKED_AT = 16_384
_CERTAIN = 4
"""What a statement that the other language cannot parse weighs, against 1 for a mere habit."""

# Text in which anything may stand: strings of both languages and block comments. An open one ends with line or text.
_QUOTED = re.compile(
    r'''"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*(?:""")?|\'\'\'[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*(?:\'\'\')?'''
    r"""|`[^`\\]*(?:\\.[^`\\]*)*`?|/\*[^*]*(?:\*(?!/)[^*]*)*(?:\*/)?"""
    r"""|"[^"\\\n]*(?:\\.[^"\\\n]*)*"?|'[^'\\\n]*(?:\\.[^'\\\n]*)*'?""",
    re.DOTALL,
)

_END = r"[ \t]*(?:\#[^\n]*)?$"
_PYTHON_STATEMENT = re.compile(
    rf"""^[ \t]*(?:
        (?:async[ ]+)?def[ \t]+\w+[ \t]*\(
      | class[ \t]+\w+[ \t]*(?:\([^\n{{]*\))?[ \t]*:{_END}
      | (?:if|elif|else|while|for|with|try|except|finally|async[ ]for|async[ ]with)\b[^\n{{}};?]*:{_END}
      | import[ \t]+\w[\w.]*(?:[ \t]+as[ \t]+\w+)?(?:[ \t]*,[ \t]*\w[\w.]*(?:[ \t]+as[ \t]+\w+)?)*{_END}
      | from[ \t]+[\w.]+[ \t]+import\b
      | raise[ \t]+\w+[ \t]*(?:\(|$)
      | \#+[ \t]
    )""",
    re.MULTILINE | re.VERBOSE,
)
_PYTHON_HABIT = re.compile(
    r"""\bprint\(|^[ \t]*\#(?!!)|\b(?:None|True|False)\b|\bnot[ ]in\b|\bis[ ]not\b|\b[fr]["']|\blambda\b|\basyncio\.
      |^[ \t]*pass[ \t]*$|\[[^\n\[\]]*[ ]for[ ]\w+[ ]in[ ]""",
    re.MULTILINE | re.VERBOSE,
)
_JAVASCRIPT_STATEMENT = re.compile(
    r"""^[ \t]*(?:
        (?:export[ \t]+)?(?:const|let|var)[ \t]+[\w${\[]
      | (?:export[ \t]+(?:default[ \t]+)?)?(?:async[ \t]+)?function\b[ \t*]*[\w$]*[ \t]*[(<]
      | export[ \t]+(?:default|async|class|type|interface)\b
      | import[ \t]*(?:["'{*]|[\w$]+[ \t]+from[ \t]*["'])
      | \}[ \t]*(?:else|catch|finally|while)\b
      | (?:if|for|while|switch|catch)[ \t]*\([^\n]*\)[ \t]*\{[ \t]*$
      | (?:try|do|else|finally)[ \t]*\{
      | //
    )|=>|[!=]==|&&|\|\||\bconsole\.\w+\(""",
    re.MULTILINE | re.VERBOSE,
)
_JAVASCRIPT_HABIT = re.compile(
    r"""\b(?:null|undefined|true|false|typeof)\b|\bnew[ ]+\w+|;[ \t]*$|`|/\*|\{[ \t]*$|^[ \t]*\}|\bMath\.|\bJSON\.
      |\bcodemode\.[\w.]+\([ \t]*\{""",
    re.MULTILINE | re.VERBOSE,
)
_TYPES = r"(?:string|number|boolean|any|unknown|never|const)"
_TYPESCRIPT_SYNTAX = re.compile(
    rf"""^[ \t]*(?:export[ \t]+)?(?:declare[ \t]+)?(?:
        interface[ \t]+[\w$]+[^\n=();]*\{{
      | type[ \t]+[\w$]+[ \t]*(?:<[^\n=]*>)?[ \t]*=(?!=)
      | (?:const[ \t]+)?enum[ \t]+[\w$]+[ \t]*\{{
      | namespace[ \t]+[\w$.]+[ \t]*\{{
      | (?:const|let|var)[ \t]+[\w$]+!?[ \t]*:[ \t]*[\w$({{\["']
      | abstract[ \t]+class\b
    )
    |^[ \t]*(?:private|public|protected|readonly)[ \t]+(?:static[ \t]+|readonly[ \t]+|async[ \t]+)*[\w$]+[ \t]*[?!]?[:=(;]
    |^[ \t]*import[ \t]+type[ \t]+[\w{{*]
    |\([ \t]*[\w$]+\??[ \t]*:[ \t]*[\w$({{\[]
    |\)[ \t]*:[ \t]*(?:Promise|Record|Array|Map|Set)<
    |\bnew[ ]+(?:Map|Set|Array|Promise)<[\w\[({{]
    |^(?![ \t]*(?:import|export)\b)[^\n]*[\w$)\]}}"'`][ \t]+(?:as[ \t]+{_TYPES}|satisfies[ \t]+[A-Z]\w*)\b""",
    re.MULTILINE | re.VERBOSE,
)


class Evidence(NamedTuple):
    """How many statements of the text only one language has."""

    javascript: int
    python: int

    def of(self, family: Family) -> int:
        """The statements of one language."""
        return self.python if family == "python" else self.javascript


def family_of(language: Language) -> Family:
    """TypeScript is JavaScript as far as the program's text is told from Python."""
    return "python" if language == "python" else "javascript"


def other_family(family: Family) -> Family:
    """The other one."""
    return "javascript" if family == "python" else "python"


def contradicts(code: str, family: Family) -> bool:
    """Whether there may be anything against `family`: a quick look that spares most programs the weighing."""
    pattern = _JAVASCRIPT_STATEMENT if family == "python" else _PYTHON_STATEMENT
    return pattern.search(code, 0, _MOST_LOOKED_AT) is not None


def weigh(code: str) -> Evidence:
    """The statements of either language, strings and block comments left out."""
    head = unquoted(code[:_MOST_LOOKED_AT])
    return Evidence(_count(_JAVASCRIPT_STATEMENT, head), _count(_PYTHON_STATEMENT, head))


def is_typescript(code: str) -> bool:
    """Whether a program of the JavaScript family certainly has types."""
    if _TYPESCRIPT_SYNTAX.search(code, 0, _MOST_LOOKED_AT) is None:
        return False
    return _TYPESCRIPT_SYNTAX.search(unquoted(code[:_MOST_LOOKED_AT])) is not None


def detect_language(code: str) -> Language:
    """The likelier language; JavaScript where nothing speaks for either, TypeScript only where it is certain."""
    head = code[:_MOST_LOOKED_AT]
    evidence = weigh(head)
    python = _CERTAIN * evidence.python + _count(_PYTHON_HABIT, head)
    javascript = _CERTAIN * evidence.javascript + _count(_JAVASCRIPT_HABIT, head)
    if python > javascript:
        return "python"
    return "typescript" if is_typescript(code) else "javascript"


def unquoted(text: str, filler: str = '""') -> str:
    """The text with `filler` in place of each string and block comment."""
    return _QUOTED.sub(filler, text)


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))
