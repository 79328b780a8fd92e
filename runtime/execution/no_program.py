"""What is sent as code and is none: shell commands, tool calls as JSON, markup, text escaped once too often."""

import re
from typing import Any

from runtime.execution.language import Family, unquoted
from sandboxes.bounded_json import loads

_MOST_JSON = 65_536
_LANGUAGES = "JavaScript, TypeScript or Python"

_COMMENT = re.compile(r"\s*(?:#(?!!)|//|/\*|\*|$)")
_PROMPT = re.compile(r"^\s*(?:[$>%!]\s*)?")
# A command with an argument that makes the line a syntax error, or an unknown name, in either language.
_ARGUMENT = r"[ \t]+(?:--?[A-Za-z]|[\w~\"'$*@./])"
_SHELL = re.compile(
    rf"""(?:sudo[ \t]+)?(?:
        (?P<installer>npm|npx|yarn|pnpm|bun|pip3?|pipx|uv|poetry|conda|brew|apt|apt-get|apk|gem|cargo){_ARGUMENT}
      | (?P<fetcher>curl|wget){_ARGUMENT}
      | (?P<command>ls|cd|cat|mkdir|rm|cp|mv|touch|chmod|grep|find|echo|head|tail|sed|awk|git|docker|kubectl|ssh|scp
          |node|python3?|bash|sh|source|which|ps|tar|unzip|jq|make){_ARGUMENT}
      | (?P<export>export)[ \t]+[A-Z_]+=
    )""",
    re.VERBOSE,
)
_ASSIGNS = re.compile(r"\w+[ \t]*[-+*/]?=(?!=)|\w+[ \t]+(?:in|is|and|or|not|if|instanceof|as)\b")
_LONE_COMMAND = re.compile(r"(?:ls|pwd|whoami|env|ps|ifconfig|uname|hostname)\s*")
_SHELL_SHEBANG = re.compile(r"#!\s*/\S*(?:/env\s+)?(?:ba|z|da)?sh\b")
_MARKUP = re.compile(
    r"<(?:tool_call|tool_use|function_calls?|function=|invoke|antml|execute|code|script|html|body|!DOCTYPE|\?xml)\b"
)
_CALL_NAMES = frozenset(("name", "tool", "tool_name", "function", "recipient_name", "method", "action", "type", "id"))
_CALL_ARGUMENTS = frozenset(("arguments", "args", "parameters", "params", "input", "tool_input", "action_input"))
_CODE_NAMES = frozenset(("code", "program", "script", "source", "javascript", "python"))
# After the end of a statement, or after a line that only Python has; a regular expression's \n is neither.
_ESCAPED_BREAK = re.compile(
    r"(?:[;{})\]:,] *|^(?:import|from|def|class) [^\"'/\\]*)(?:\\r)?\\n(?:\\n|\\t| )*(?:[A-Za-z_}){$#]|//)"
)


def why_no_program(code: str, family: Family | None) -> str | None:
    """A sentence, to follow "the code", that says why the text is no program; None if it may be one."""
    return _call(code, family) or _shell(code) or _markup(code) or _escaped(code)


def _call(code: str, family: Family | None) -> str | None:
    text = code.strip()
    if not text.startswith(("{", "[")) or not text.endswith(("}", "]")) or len(text) > _MOST_JSON:
        return None
    try:
        value = loads(text)
    except ValueError:
        return None
    first = value[0] if isinstance(value, list) and value else value
    # For Python an object is an expression like any other.
    if not isinstance(first, dict) or (family == "python" and not _is_call(first)):
        return None
    if _is_call(first):
        return (
            "is a tool call as JSON; send a program instead, which calls tools itself: "
            "await codemode.<upstream>.<tool>(..)"
        )
    if isinstance(value, list):
        return None
    return f"is a JSON object; send only the text of one program in {_LANGUAGES}"


def _is_call(value: dict[str, Any]) -> bool:
    names = value.keys()
    if names & _CALL_ARGUMENTS and names & _CALL_NAMES:
        return True
    return bool(names & _CODE_NAMES) and names <= _CODE_NAMES | {"language", "timeout", "inputs", "profile", "reason"}


def _shell(code: str) -> str | None:
    number, line = _first_line(code)
    if _SHELL_SHEBANG.match(code):
        return f"is a shell script, and there is no shell here; send one program in {_LANGUAGES}"
    bare = _PROMPT.sub("", line)
    match = _SHELL.match(bare)
    if match is None or _ASSIGNS.match(bare):
        return _lone(code)
    where = f"has a shell command on line {number} ({match[0].split()[0]})"
    if match["installer"]:
        return f"{where}; packages cannot be installed here: use the standard library, fetch and codemode instead"
    if match["fetcher"]:
        return f"{where}, and there is no shell here; send a program that calls fetch(url)"
    return f"{where}, and there is no shell here; send one program in {_LANGUAGES}"


def _first_line(code: str) -> tuple[int, str]:
    """The first line that is neither blank nor a comment, and its number from 1."""
    number = 0
    for number, line in enumerate(code.split("\n", 50)[:50], 1):
        if not _COMMENT.match(line):
            return number, line[:500]
    return number, ""


def _lone(code: str) -> str | None:
    if _LONE_COMMAND.fullmatch(code.strip()) is None:
        return None
    return f"is a shell command, and there is no shell here; send one program in {_LANGUAGES}"


def _markup(code: str) -> str | None:
    if _MARKUP.match(code.lstrip()[:200]) is None:
        return None
    return f"is markup; send only the text of one program in {_LANGUAGES}, without tags around it"


def _escaped(code: str) -> str | None:
    """A program in one line with escapes for its line breaks: outside of strings no language here has that."""
    if "\\n" not in code or "\n" in code.strip() or _ESCAPED_BREAK.search(unquoted(code)) is None:
        return None
    return "has \\n in place of line breaks: it was escaped twice; send it with real line breaks"
