"""What a program is written in, told from its text alone: by statements that only one language has.

Every pattern stays within a line, or ends with the text at the latest, so that the time is linear in the length.
"""

import re
from typing import Literal, NamedTuple

Language = Literal["javascript", "typescript", "python"]
Family = Literal["javascript", "python"]

_MOST_LOOKED_AT = 8_192

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
# One of these is in every line the pattern above finds; looking for them first costs a twentieth.
_PYTHON_MARKS = ("def ", "class ", ":\n", ": #", "import ", "raise ", "# ", "#\t")
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
    )""",
    re.MULTILINE | re.VERBOSE,
)
_JAVASCRIPT_OPERATORS = ("=>", "===", "!==", "&&", "||", "console.log(")
_JAVASCRIPT_HABIT = re.compile(
    r"""\b(?:null|undefined|true|false|typeof)\b|\bnew[ ]+\w+|;[ \t]*$|`|/\*|\{[ \t]*$|^[ \t]*\}|\bMath\.|\bJSON\.
      |\bcodemode\.[\w.]+\([ \t]*\{""",
    re.MULTILINE | re.VERBOSE,
)
_HEAD = r"^[ \t]*(?:export[ \t]+)?(?:declare[ \t]+)?(?:const[ \t]+)?"
_MEMBER = r"[ \t]+(?:(?:static|readonly|async)[ \t]+)*[\w$]+[ \t]*[?!]?[:=(;]"
_ANNOTATED = r"[ \t]+[\w$]+!?[ \t]*:[ \t]*[\w$({\[\"']"
_NO_IMPORT = r"^(?![ \t]*(?:import|export)\b)[^\n]*[\w$)\]}\"'`]"
# What only TypeScript has, each behind a piece of text that must be there, which is cheap to look for.
_TYPESCRIPT_SYNTAX: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (mark, re.compile(pattern, re.MULTILINE))
    for mark, pattern in (
        ("interface ", _HEAD + r"interface[ \t]+[\w$]+[^\n=();]*\{"),
        ("type ", _HEAD + r"type[ \t]+[\w$]+[ \t]*(?:<[^\n=]*>)?[ \t]*=(?!=)"),
        ("enum ", _HEAD + r"enum[ \t]+[\w$]+[ \t]*\{"),
        ("namespace ", _HEAD + r"namespace[ \t]+[\w$.]+[ \t]*\{"),
        ("abstract ", _HEAD + r"abstract[ \t]+class\b"),
        ("import type ", r"^[ \t]*import type[ \t]+[\w{*]"),
        ("const ", "const" + _ANNOTATED),
        ("let ", "let" + _ANNOTATED),
        ("var ", "var" + _ANNOTATED),
        ("private ", r"^[ \t]*private" + _MEMBER),
        ("public ", r"^[ \t]*public" + _MEMBER),
        ("protected ", r"^[ \t]*protected" + _MEMBER),
        ("readonly ", r"^[ \t]*readonly" + _MEMBER),
        ("(", r"\([ \t]*[\w$]+\??[ \t]*:[ \t]*[\w$({\[]"),
        ("):", r"\):[ \t]*(?:Promise|Record|Array|Map|Set)<"),
        ("new ", r"new (?:Map|Set|Array|Promise)<[\w\[({]"),
        (" as ", _NO_IMPORT + r"[ \t]+as (?:string|number|boolean|any|unknown|never|const)\b"),
        (" satisfies ", _NO_IMPORT + r"[ \t]+satisfies [A-Z]"),
    )
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
    head = code[:_MOST_LOOKED_AT]
    return bool(_javascript_statements(head) if family == "python" else _python_statements(head))


def weigh(code: str) -> Evidence:
    """The statements of either language, strings and block comments left out."""
    head = unquoted(code[:_MOST_LOOKED_AT])
    return Evidence(_javascript_statements(head), _python_statements(head))


def is_typescript(code: str) -> bool:
    """Whether a program of the JavaScript family certainly has types."""
    head = code[:_MOST_LOOKED_AT]
    return _has_types(head) and _has_types(unquoted(head))


def detect_language(code: str) -> Language:
    """The likelier language: by statements, then by habits; TypeScript only where it is certain.

    JavaScript where nothing speaks for either.
    """
    head = code[:_MOST_LOOKED_AT]
    javascript, python = weigh(head)
    if javascript == python:
        javascript, python = _count(_JAVASCRIPT_HABIT, head), _count(_PYTHON_HABIT, head)
    if python > javascript:
        return "python"
    return "typescript" if is_typescript(code) else "javascript"


def unquoted(text: str, filler: str = '""') -> str:
    """The text with `filler` in place of each string and block comment."""
    return _QUOTED.sub(filler, text)


def _javascript_statements(text: str) -> int:
    return _count(_JAVASCRIPT_STATEMENT, text) + sum(map(text.count, _JAVASCRIPT_OPERATORS))


def _python_statements(text: str) -> int:
    if not text.endswith(":") and not any(mark in text for mark in _PYTHON_MARKS):
        return 0
    return _count(_PYTHON_STATEMENT, text)


def _has_types(text: str) -> bool:
    return any(mark in text and pattern.search(text) for mark, pattern in _TYPESCRIPT_SYNTAX)


def _count(pattern: re.Pattern[str], text: str) -> int:
    return sum(1 for _ in pattern.finditer(text))
