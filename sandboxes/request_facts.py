"""What an egress decision is made on."""

from dataclasses import dataclass

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFacts:
    """Canonical host and path, never what only the client says.

    `headers` are those that would be sent on. `body_length` is what the request's framing says (None: a body of
    unknown length), `body` its bytes once they are known, without content coding.
    """

    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str | None = None
    headers: Fields = ()
    body_length: int | None = 0
    body: bytes | None = None

    def length(self) -> int | None:
        """Of the body, if anything says it."""
        return self.body_length if self.body is None else len(self.body)
