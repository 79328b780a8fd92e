"""Regular expressions that operators write: RE2 syntax and speed, so none can hang who matches it."""

from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, Field

MAX_PATTERN = 1_000


@lru_cache(1024)
def compiled(pattern: str) -> Any:
    """The pattern as RE2 has it, for text and for bytes. Raises ValueError with what RE2 says against it."""
    import re2  # noqa: PLC0415 - 3 MB that only rules with patterns need

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        raise ValueError(f'"{pattern[:80]}" is not an RE2 pattern: {_message(error)}') from None


def _message(error: Exception) -> str:
    """re2 gives its messages as bytes."""
    (said,) = error.args
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def check_text_pattern(pattern: str) -> str:
    """A pattern as written. Raises ValueError with what RE2 says against it."""
    compiled(pattern)
    return pattern


def text_matches(pattern: str, text: str) -> bool:
    """Whether all of `text` matches; text that is not Unicode (a lone surrogate) never does."""
    try:
        return compiled(pattern).fullmatch(text) is not None
    except UnicodeEncodeError:
        return False


TextPattern = Annotated[str, Field(min_length=1, max_length=MAX_PATTERN), AfterValidator(check_text_pattern)]
