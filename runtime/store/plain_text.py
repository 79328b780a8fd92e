"""Any Python text as text that both stores take: PostgreSQL knows no NUL, and UTF-8 no lone surrogates.

Those, and the mark itself, become the mark and six hexadecimal digits; everything else stays as it is, so that rows can
be read with the databases' own tools. The mapping is one to one: equal texts stay equal, others different.
"""

import re
from typing import Final

_MARK: Final = "\U0010fffe"
_UNPLAIN = re.compile("[\0\ud800-\udfff\U0010fffe]")
_MARKED = re.compile("\U0010fffe([0-9a-f]{6})")


def plain(text: str) -> str:
    """What is put into the store for `text`."""
    if _UNPLAIN.search(text) is None:
        return text
    return _UNPLAIN.sub(lambda found: f"{_MARK}{ord(found[0]):06x}", text)


def original(text: str) -> str:
    """The text for which `text` was put into the store."""
    if _MARK not in text:
        return text
    return _MARKED.sub(lambda found: chr(int(found[1], 16)), text)
