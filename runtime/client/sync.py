"""The client for programs without an event loop: the same methods, each of which waits."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, Self

from runtime.client.client import Client, OnLog
from runtime.client.function import Offer
from runtime.client.request import Language
from runtime.client.session import Session
from runtime.rpc import portal_pb2, runtime_pb2


class SyncClient:
    """`with SyncClient(address, token) as client:`. Its connection lives on an event loop in a thread of its own.

    Callbacks and async functions run on that thread. May be used from several threads.
    """

    def __init__(self, address: str, token: str) -> None:
        self._address, self._token = address, token
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="lockgate client", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._client = self._wait(self._connected())
        return self

    async def _connected(self) -> Client:
        return Client(self._address, self._token)  # a channel belongs to the loop it is made on

    def __exit__(self, *_: object) -> None:
        try:
            self._wait(self._client.__aexit__(None, None, None))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _wait[T](self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise
        except BaseException:
            # Ctrl-C while it waits: what runs is no longer wanted.
            future.cancel()
            raise

    def execute(self, request: runtime_pb2.ExecuteRequest) -> runtime_pb2.Execution:
        """Run a program to its end."""
        return self._wait(self._client.execute(request))

    def run(self, request: runtime_pb2.ExecuteRequest, on_log: OnLog | None = None) -> runtime_pb2.Execution:
        """As Client.run."""
        return self._wait(self._client.run(request, on_log))

    def session(self, offer: Offer | None = None) -> "SyncSession":
        """As Client.session."""
        return SyncSession(self, offer)

    def result(  # noqa: PLR0913 - the fields of the request
        self, handle: str, *, owner: str, path: str = "", offset: int = 0, limit: int = 0, most_bytes: int = 0
    ) -> runtime_pb2.GetResultResponse:
        """As Client.result."""
        return self._wait(
            self._client.result(handle, owner=owner, path=path, offset=offset, limit=limit, most_bytes=most_bytes)
        )

    def search(
        self, query: str, *, limit: int = 10, cursor: str = "", language: Language = "", profile: str = ""
    ) -> portal_pb2.SearchResponse:
        """As Client.search."""
        search = self._client.search(query, limit=limit, cursor=cursor, language=language, profile=profile)
        return self._wait(search)

    def describe(self, names: Sequence[str], language: Language = "") -> portal_pb2.DescribeResponse:
        """As Client.describe."""
        return self._wait(self._client.describe(names, language))

    def profiles(self) -> Sequence[runtime_pb2.ProfileSummary]:
        """The profiles of the service."""
        return self._wait(self._client.profiles())

    def health(self) -> runtime_pb2.GetHealthResponse:
        """How the service stands."""
        return self._wait(self._client.health())

    async def _opened(self, offer: Offer | None) -> Session:
        return await self._client.session(offer).__aenter__()


class SyncSession:
    """`with client.session(offer) as session:`."""

    def __init__(self, client: SyncClient, offer: Offer | None) -> None:
        self._client = client
        self._offer = offer

    def __enter__(self) -> Self:
        self._session = self._client._wait(self._client._opened(self._offer))  # noqa: SLF001 - a part of it
        return self

    def __exit__(self, *_: object) -> None:
        self._client._wait(self._session.__aexit__())  # noqa: SLF001

    @property
    def names(self) -> tuple[str, ...]:
        """The functions as programs call them."""
        return self._session.names

    def run(self, request: runtime_pb2.ExecuteRequest, on_log: OnLog | None = None) -> runtime_pb2.Execution:
        """As Session.run."""
        return self._client._wait(self._session.run(request, on_log))  # noqa: SLF001
