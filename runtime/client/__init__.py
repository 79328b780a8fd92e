"""Clients of the gRPC API: `Client` for asyncio, `SyncClient` for other code, `Offer` for functions of one's own."""

from runtime.client.client import Client, OnLog
from runtime.client.function import FunctionFailedError, Inverse, Offer
from runtime.client.request import Context, Language, execute_request, local_context
from runtime.client.session import Session, SessionLostError, SessionRefusedError
from runtime.client.sync import SyncClient, SyncSession

__all__ = [
    "Client",
    "Context",
    "FunctionFailedError",
    "Inverse",
    "Language",
    "Offer",
    "OnLog",
    "Session",
    "SessionLostError",
    "SessionRefusedError",
    "SyncClient",
    "SyncSession",
    "execute_request",
    "local_context",
]
