"""What a request says its body is: one Content-Type, strictly read (RFC 9110 section 8.3)."""

import re
from typing import Annotated

from pydantic import AfterValidator

Fields = tuple[tuple[bytes, bytes], ...]
_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_TYPE = re.compile(rf"({_NAME}/{_NAME})((?:[ \t]*;[ \t]*{_NAME}=(?:{_NAME}|\"[^\"\\]*\"))*)[ \t]*;?")
_CHARSET = re.compile(r";[ \t]*charset=\"?([^\";]*)", re.IGNORECASE)


def check_media_type(text: str) -> str:
    """`type/subtype` or `type/*` in lower case, without parameters."""
    if re.fullmatch(rf"{_NAME}/{_NAME}", text) is None or "*" in text.removesuffix("/*"):
        raise ValueError(f'"{text}" is not a content type; write one like "application/json" or "text/*"')
    if text != text.lower():
        raise ValueError(f'write it in lower case: "{text.lower()}"')
    return text


MediaType = Annotated[str, AfterValidator(check_media_type)]


def media_type(headers: Fields) -> str | None:
    """The body's type in lower case without parameters; None if nothing says it.

    Raises ValueError if two headers say it, or one in a way that is not the standard's.
    """
    said = [value for name, value in headers if name.lower() == b"content-type"]
    if not said:
        return None
    match = _TYPE.fullmatch(said[0].decode("latin-1").strip()) if len(said) == 1 else None
    if match is None:
        raise ValueError("the content type is given twice, or is malformed")
    return match[1].lower()


def is_utf8(headers: Fields) -> bool:
    """Whether no header gives the body another character set than UTF-8."""
    said = [value.decode("latin-1") for name, value in headers if name.lower() == b"content-type"]
    sets = [charset.strip().lower() for value in said for charset in _CHARSET.findall(value)]
    return all(charset in {"utf-8", "utf8"} for charset in sets)


def is_json(media: str) -> bool:
    """`application/json` and what ends in `+json`."""
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def type_matches(pattern: str, media: str) -> bool:
    """`application/json` exactly, `text/*` any text."""
    return pattern == media or (pattern.endswith("/*") and media.startswith(pattern[:-1]))
