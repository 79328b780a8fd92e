"""The exception tree of `requests`."""

# ruff: noqa: N818 (the names are those of requests)

from json import JSONDecodeError as _JSONDecodeError


class RequestException(OSError):
    """Whatever went wrong with a request."""

    def __init__(self, *args: object, request: object = None, response: object = None) -> None:
        super().__init__(*args)
        self.request = request
        self.response = response


class InvalidJSONError(RequestException):
    """No JSON."""


class JSONDecodeError(InvalidJSONError, _JSONDecodeError):
    """A response's body is no JSON."""

    def __init__(self, *args: object, **options: object) -> None:
        _JSONDecodeError.__init__(self, *args)
        InvalidJSONError.__init__(self, *self.args, **options)


class HTTPError(RequestException):
    """A status of 400 or more, from raise_for_status."""


class ConnectionError(RequestException):  # noqa: A001 (its name in requests)
    """No response."""


class ProxyError(ConnectionError):
    """Never raised here."""


class SSLError(ConnectionError):
    """Never raised here: TLS is done outside."""


class Timeout(RequestException):
    """Too slow."""


class ConnectTimeout(ConnectionError, Timeout):
    """Too slow to connect."""


class ReadTimeout(Timeout):
    """Too slow to answer."""


class URLRequired(RequestException):
    """No URL."""


class TooManyRedirects(RequestException):
    """Redirected without end."""


class MissingSchema(RequestException, ValueError):
    """A URL without http:// or https://."""


class InvalidSchema(RequestException, ValueError):
    """A URL that is neither http nor https."""


class InvalidURL(RequestException, ValueError):
    """A URL that is none."""


class InvalidHeader(RequestException, ValueError):
    """A header that is none."""


class ChunkedEncodingError(RequestException):
    """Never raised here."""


class ContentDecodingError(RequestException):
    """Never raised here."""


class RetryError(RequestException):
    """Never raised here."""
