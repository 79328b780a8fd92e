"""Text that leaves the isolate: valid UTF-8, of bounded size."""


def repaired(text: str) -> str:
    """Join surrogate pairs and replace lone surrogates by U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def encoded(text: str) -> bytes:
    """UTF-8 of a text, repaired if need be."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return repaired(text).encode()


def cut(text: str, limit: int, dropped: int = 0) -> str:
    """The text in at most `limit` bytes of UTF-8, ending in a marker that says how many bytes are missing.

    `dropped`: bytes already thrown away behind `text`.
    """
    if not dropped and len(text) * 4 <= limit and not has_surrogates(text):
        return text
    data = encoded(text)
    total = len(data) + dropped
    if total <= limit:
        return data.decode()
    room = max(0, limit - len(_marker(total)))
    kept = data[:room].decode(errors="ignore")
    return (kept + _marker(total - len(kept.encode())))[: max(limit, 0)]


def has_surrogates(text: str) -> bool:
    """Tell whether a text cannot be encoded as it is."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _marker(missing: int) -> str:
    return f" ... [{missing} bytes cut]"
