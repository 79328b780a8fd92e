"""The way back of one exchange: what the upstream answers, without secrets.

Heads are searched always, bodies and trailers where the rules of the request could add a secret.
"""

from collections.abc import Iterator

from mitmproxy import http

from .content_coding import CodingError, ContentDecoder, codings_of
from .redaction import NOTHING, Redactor, StreamRedactor, UnfinishedError

NO_BODY = frozenset({204, 304})
_INFORMATIONAL_END = 200
_PARTIAL = 206
# A digest of the body as it was sent: untrue once something was taken out or a coding was taken off.
_BODY_DIGESTS = ("content-digest", "content-md5", "digest", "repr-digest")


class ReturnRefusedError(Exception):
    """Why a response is not passed on. The text is of our own and holds nothing that the upstream sent."""


class Returning:
    """Cleans one response: first its head, then its body piece by piece, then its trailers."""

    def __init__(self, redactor: Redactor = NOTHING, *, searched: bool = False, credentialed: bool = False) -> None:
        """`searched`: the body too. `credentialed`: the request carried a secret."""
        self.redactor = redactor
        self._searched = searched
        self._credentialed = credentialed
        self._decoder: ContentDecoder | None = None
        self._stream: StreamRedactor | None = None
        self._in_heads = 0

    @property
    def redactions(self) -> int:
        """How many places were redacted so far."""
        return self._in_heads + (self._stream.count if self._stream else 0)

    def text(self, said: str) -> str:
        """A message that may quote the upstream, without secrets."""
        return self.redactor.text(said)

    def head(self, request: http.Request, response: http.Response) -> None:
        """Clean the status line and the headers, and make ready for the body. Raises ReturnRefusedError."""
        if response.status_code < _INFORMATIONAL_END:
            raise ReturnRefusedError(
                f"the upstream answered {response.status_code} to a request that did not ask for it"
            )
        response.data.reason = self._clean(response.data.reason)
        response.headers = self.fields(response.headers)
        if not self._searched:
            return
        if self._credentialed and response.status_code == _PARTIAL:
            raise ReturnRefusedError("the upstream answered with a part although asked for the whole")
        self._stream = StreamRedactor(self.redactor)
        self._decode(response)
        _unframe(request, response)

    def body(self, data: bytes) -> Iterator[bytes]:
        """What passes on of a piece; `b""` is the end. Raises ReturnRefusedError."""
        if self._stream is None:
            if data:
                yield data
            return
        try:
            pieces = self._pieces(self._stream, data)
            yield from (clean for clean in pieces if clean)
        except CodingError as error:
            raise ReturnRefusedError(f"the upstream's answer cannot be searched: {error}") from None
        except UnfinishedError:
            raise ReturnRefusedError(
                "the upstream's answer cannot be searched: it goes on like a secret without end"
            ) from None

    def fields(self, headers: http.Headers) -> http.Headers:
        """Headers or trailers without secrets. A name that holds one goes with its value."""
        if not self.redactor.finds(part for field in headers.fields for part in field):
            return headers
        clean: list[tuple[bytes, bytes]] = []
        for name, value in headers.fields:
            found = self.redactor.replace(name)[1]
            self._in_heads += found
            if not found:
                clean.append((name, self._clean(value)))
        return http.Headers(clean)

    def _pieces(self, stream: StreamRedactor, data: bytes) -> Iterator[bytes]:
        if data:
            for piece in self._decoder.feed(data) if self._decoder else (data,):
                yield stream.feed(piece)
            return
        if self._decoder is not None:
            self._decoder.finish()
        yield stream.finish()

    def _decode(self, response: http.Response) -> None:
        codings = codings_of(response.headers.get_all("content-encoding"))
        if not codings:
            return
        try:
            self._decoder = ContentDecoder(codings)
        except CodingError as error:
            raise ReturnRefusedError(f"the upstream's answer cannot be searched: {error}") from None
        del response.headers["content-encoding"]

    def _clean(self, value: bytes) -> bytes:
        clean, found = self.redactor.replace(value)
        self._in_heads += found
        return clean


def _unframe(request: http.Request, response: http.Response) -> None:
    """A body may change its length and its digest: say so before it starts."""
    for name in _BODY_DIGESTS:
        response.headers.pop(name, None)
    if response.status_code in NO_BODY or "content-length" not in response.headers:
        return
    del response.headers["content-length"]
    if request.method == "HEAD":
        return
    if request.http_version == "HTTP/1.1" and response.http_version == "HTTP/1.1":
        response.headers["transfer-encoding"] = "chunked"
    elif request.http_version.startswith("HTTP/1"):
        response.headers["connection"] = "close"
