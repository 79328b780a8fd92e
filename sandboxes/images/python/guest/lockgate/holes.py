"""The free places between the snapshot's objects, taken up, so that what a program allocates lies close together.

The allocator hands out old holes first. They are spread over all of memory, and each that is written to costs an
isolate a copy of its page; behind the last object everything lies side by side.
"""

# Of the C library's allocator, which serves CPython here directly: chunks are multiples of 16 bytes, 4 of them its own.
_CHUNK = 16
_OF_A_BYTES_OBJECT = 21
_FRONTIER = 512 << 10
_STEPWISE = 4096
_MOST = 20_000


def fill() -> None:
    """Fill the holes; once, after the last collection before the snapshot."""
    _fill(_fillers, bytes(_FRONTIER))


def _fill(fillers: list[object], frontier: bytes) -> None:
    """Allocate, largest first, until nothing of a size is to be had before `frontier`, the end of what is used."""
    size = _FRONTIER // 2
    used = 0
    while size:
        filler = bytes(size - _OF_A_BYTES_OBJECT) if size > _CHUNK else object()
        if id(filler) < id(frontier) and used < _MOST:
            fillers[used] = filler
            used += 1
        else:
            size = size * 7 // 8 // _CHUNK * _CHUNK if size > _STEPWISE else size - _CHUNK


# Made before, because a list that grows leaves holes.
_fillers: list[object] = [None] * _MOST
