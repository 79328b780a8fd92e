"""Memory kept back, and asked for ahead: a program that used up its own still leaves in order."""

from lockgate.text import encoded

OUT_OF_MEMORY = (
    '{"name":"MemoryError","message":"the program used up its memory","stack":"","line":null,"column":null,'
    '"source_line":null,"limit":"memory","call":null}'
)
# Larger than an arena of CPython's, so that telling an error can have one; smaller than one, so that none takes it.
_FOR_TELLING = 640 << 10
_FOR_LEAVING = 128 << 10
_SMALL = 32 << 10
_telling = bytearray()
_leaving = bytearray()


def keep() -> None:
    """Keep back what there will be to release; before the snapshot, and again before a session's next program."""
    if not _telling:
        _telling.extend(bytes(_FOR_TELLING))
    if not _leaving:
        _leaving.extend(bytes(_FOR_LEAVING))


def release_for_telling() -> None:
    """Give up what is kept for describing an error: memory ran out. The objects stay: they are immortal."""
    _telling.clear()


def release_for_leaving() -> None:
    """Give up what is kept for the outcome's way out: the run is over."""
    _leaving.clear()


def fit(text: str) -> None:
    """MemoryError if there is no room for the copies componentize-py makes of a text, and aborts over."""
    if len(text) <= _SMALL:
        bytearray(8 * len(text) + 1024)
    elif text.isascii():
        bytearray(len(text))
    else:
        data = encoded(text)
        bytearray(len(data))
