"""Content codings of responses: taken off piece by piece, under bounds, so that what comes back can be searched."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import brotli
import zstandard

MAX_CODINGS = 3
RATIO = 120  # bytes out for a byte in; text that repeats a lot reaches some 50
ALLOWANCE = 4 * 1024 * 1024  # bytes out before the ratio counts
_PIECE = 64 * 1024
_ZSTD_PIECE = 256  # of input at a time: each four bytes may become a block of 128 KiB
_ZSTD_WINDOW = 8 * 1024 * 1024  # RFC 9659
_GZIP = zlib.MAX_WBITS | 16


class CodingError(Exception):
    """Why encoded content cannot be read. The text is of our own."""


class Decoder(Protocol):
    """Takes one coding off a stream."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that come out, each of bounded size. Raises CodingError."""
        ...

    def finish(self) -> None:
        """Raises CodingError if the stream is not whole."""
        ...


class Inflate:
    """gzip (RFC 1952), several members too, and deflate with or without its zlib wrapper."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._inflater = zlib.decompressobj(_GZIP) if coding == "gzip" else None
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of what `data` says."""
        while data:
            inflater = self._inflater or self._start(data)
            self._inflater, self._begun = inflater, True
            try:
                piece = inflater.decompress(data, _PIECE)
            except zlib.error:
                raise CodingError(f"its {self._coding} is corrupt") from None
            if piece:
                yield piece
            data = inflater.unconsumed_tail
            if inflater.eof:
                data = inflater.unused_data
                self._next_member(data)

    def finish(self) -> None:
        """A stream may be empty, but not cut off."""
        if self._begun and self._inflater is not None and not self._inflater.eof:
            raise CodingError(f"its {self._coding} is cut off")

    def _start(self, data: bytes) -> "zlib._Decompress":
        wrapped = data[0] & 0x0F == 8 and (len(data) == 1 or int.from_bytes(data[:2]) % 31 == 0)  # noqa: PLR2004
        return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)

    def _next_member(self, rest: bytes) -> None:
        if not rest:
            return
        if self._coding != "gzip":
            raise CodingError("its deflate goes on after its end")
        self._inflater = zlib.decompressobj(_GZIP)


class Brotli:
    """br (RFC 7932)."""

    def __init__(self) -> None:
        self._decoder = brotli.Decompressor()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of what `data` says."""
        self._begun = True
        if self._decoder.is_finished():
            raise CodingError("its br goes on after its end")
        piece = self._process(data)
        while piece or not self._decoder.can_accept_more_data():
            yield piece
            piece = self._process(b"")

    def finish(self) -> None:
        """A stream may be empty, but not cut off."""
        if self._begun and not self._decoder.is_finished():
            raise CodingError("its br is cut off")

    def _process(self, data: bytes) -> bytes:
        try:
            return bytes(self._decoder.process(data, output_buffer_limit=_PIECE))
        except brotli.error:
            raise CodingError("its br is corrupt") from None


class Zstandard:
    """zstd (RFC 8878), several frames too, with windows of at most 8 MiB."""

    def __init__(self) -> None:
        self._reader = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._reader.decompressobj()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of what `data` says."""
        for place in range(0, len(data), _ZSTD_PIECE):
            rest = data[place : place + _ZSTD_PIECE]
            while rest:
                if self._frame.eof:
                    self._frame = self._reader.decompressobj()
                self._begun = True
                try:
                    piece = self._frame.decompress(rest)
                except zstandard.ZstdError:
                    raise CodingError("its zstd is corrupt or wants too much memory") from None
                rest = self._frame.unused_data if self._frame.eof else b""
                if piece:
                    yield piece

    def finish(self) -> None:
        """A stream may be empty, but not cut off."""
        if self._begun and not self._frame.eof:
            raise CodingError("its zstd is cut off")


_DECODERS: dict[str, Callable[[], Decoder]] = {
    "gzip": lambda: Inflate("gzip"),
    "x-gzip": lambda: Inflate("gzip"),
    "deflate": lambda: Inflate("deflate"),
    "br": Brotli,
    "zstd": Zstandard,
}


class ContentDecoder:
    """Takes every coding of a Content-Encoding off, the last one first. Raises CodingError for one it does not know."""

    def __init__(self, codings: Iterable[str]) -> None:
        self._layers: list[Decoder] = []
        for coding in reversed(list(codings)):
            if coding not in _DECODERS:
                raise CodingError(f'it is encoded as "{coding[:20]}", which cannot be read')
            self._layers.append(_DECODERS[coding]())
        if len(self._layers) > MAX_CODINGS:
            raise CodingError(f"it is encoded {len(self._layers)} times over; {MAX_CODINGS} at most are read")
        self._taken = 0
        self._given = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Pieces of the content. Raises CodingError, also for one that grows beyond reason."""
        self._taken += len(data)
        yield from self._through(data, 0)

    def finish(self) -> None:
        """The stream has ended. Raises CodingError if its content has not."""
        for layer in self._layers:
            layer.finish()

    def _through(self, data: bytes, depth: int) -> Iterator[bytes]:
        if depth == len(self._layers):
            yield data
            return
        for piece in self._layers[depth].feed(data):
            self._given += len(piece)
            if self._given > ALLOWANCE + RATIO * self._taken:
                raise CodingError(f"it grows to more than {RATIO} times its size when it is read")
            yield from self._through(piece, depth + 1)


def codings_of(values: Iterable[str]) -> list[str]:
    """The codings that Content-Encoding fields name, in the order they were applied, without `identity`."""
    named = [coding.strip().lower() for value in values for coding in value.split(",")]
    return [coding for coding in named if coding not in {"", "identity"}]
