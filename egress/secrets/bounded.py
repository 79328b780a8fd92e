"""A session for libraries that use `requests`: answers bounded in size and time, nothing taken from the environment."""

import time
from typing import Any

from .backend import MAX_BYTES

_LIMIT = 4 * MAX_BYTES


def bounded_session(trust: str, timeout_s: float) -> Any:
    """A `requests.Session` that verifies by the PEM file `trust`, follows no redirect and reads no netrc or proxy."""
    import requests  # noqa: PLC0415 - comes with an extra

    session = requests.Session()
    session.trust_env = False
    session.verify = trust
    session.max_redirects = 0
    for scheme in ("http://", "https://"):
        session.mount(scheme, _adapter(timeout_s))
    return session


def _adapter(timeout_s: float) -> Any:
    import requests  # noqa: PLC0415
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    class Bounded(HTTPAdapter):
        """Reads the whole answer itself, so that the deadline is for all of it and not for each piece."""

        def send(self, *request: Any, **options: Any) -> Any:
            deadline = time.monotonic() + timeout_s
            response = super().send(*request, **{**options, "stream": True})
            parts: list[bytes] = []
            for part in response.iter_content(16 * 1024):
                parts.append(part)
                if time.monotonic() > deadline or sum(map(len, parts)) > _LIMIT:
                    response.close()
                    raise requests.ConnectionError("the answer is too long or too slow")
            response._content = b"".join(parts)  # noqa: SLF001 - where requests itself keeps a body it has read
            return response

    return Bounded()
