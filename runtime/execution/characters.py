"""Characters that editors, chats and web pages put into programs: taken out where no program can mean them."""

import re

from runtime.execution.language import unquoted

INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f"
_SPACES = "\u00a0\u2007\u202f\u3000"
_ODD = re.compile(f"[{INVISIBLE}{_SPACES}]")
_TO_SPACES = {ord(space): " " for space in _SPACES} | dict.fromkeys(map(ord, INVISIBLE), None)
# Quoted text, what may be a regular expression, or a run of odd characters outside of both.
_QUOTED_OR_ODD = re.compile(
    r"\"[^\"\\\n]*(?:\\.[^\"\\\n]*)*\"?|'[^'\\\n]*(?:\\.[^'\\\n]*)*'?|`[^`\\]*(?:\\.[^`\\]*)*`?"
    rf"|/[^/\n]*/|(?P<odd>[{INVISIBLE}{_SPACES}]+)",
    re.DOTALL,
)
_SMART = str.maketrans({"\u201c": '"', "\u201d": '"', "\u201e": '"', "\u2018": "'", "\u2019": "'", "\u201a": "'"})
_SMART_PAIR = re.compile(
    "[\u201c\u201e\u201d][^\u201c\u201d\u201e\n]*\u201d|[\u2018\u201a\u2019][^\u2018\u2019\n]*\u2019"
)
_STRAIGHT = re.compile("[\"'`]")
_ENTITY = re.compile(r"&(lt|gt|quot|apos|amp|#0?39|#x27|#34);")
_ENTITIES = {
    "lt": "<",
    "gt": ">",
    "quot": '"',
    "apos": "'",
    "amp": "&",
    "#39": "'",
    "#039": "'",
    "#x27": "'",
    "#34": '"',
}
# Outside of strings these are syntax errors in every language here, and escaped operators.
_ESCAPED_OPERATOR = re.compile(
    r"[=-]&gt;|&amp;&amp;|[\w)\]] &(?:lt|gt);=? ?[\w(\[\"'&-]|&lt;/?\w+&gt;|[(,=:\[][ ]?&(?:quot|apos|#0?39|#x27|#34);"
)
_RAW = re.compile(r"[<>]|&&")


def plain_lines(code: str) -> str:
    """Line feeds for all line breaks, as both languages read them, and nothing invisible at the beginning."""
    if "\r" in code:
        code = code.replace("\r\n", "\n").replace("\r", "\n")
    return code.lstrip(INVISIBLE)


def without_odd_characters(code: str) -> str:
    """Without invisible characters, and with plain spaces, outside of strings."""
    if code.isascii() or _ODD.search(code) is None:
        return code
    return _QUOTED_OR_ODD.sub(lambda match: odd.translate(_TO_SPACES) if (odd := match["odd"]) else match[0], code)


def with_straight_quotes(code: str) -> str:
    """With straight quotes for curly ones, where no quote is straight and curly ones come in pairs."""
    if code.isascii() or _STRAIGHT.search(code) or _SMART_PAIR.search(code) is None:
        return code
    return code.translate(_SMART)


def unescaped(code: str) -> str:
    """Without HTML's escapes, where an operator is escaped and nothing that should be is not."""
    if "&" not in code or _ENTITY.search(code) is None:
        return code
    bare = unquoted(code)
    if _RAW.search(code) or _ESCAPED_OPERATOR.search(bare) is None:
        return code
    return _ENTITY.sub(lambda match: _ENTITIES[match[1]], code)
