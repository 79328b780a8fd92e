"""Authentication helpers of `requests`."""

import base64
from typing import Any


class AuthBase:
    """Something that changes a prepared request's headers when called with it."""

    def __call__(self, request: Any) -> Any:
        """Change and return the request."""
        raise NotImplementedError


class HTTPBasicAuth(AuthBase):
    """Basic authentication."""

    def __init__(self, username: str, password: str) -> None:
        self.username = username
        self.password = password

    def __call__(self, request: Any) -> Any:
        """Add the Authorization header."""
        token = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        request.headers["Authorization"] = f"Basic {token}"
        return request
