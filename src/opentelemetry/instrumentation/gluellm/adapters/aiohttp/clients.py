"""Connectors of clients that run on aiohttp."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..holders import first_held

_HOLDERS = (
    "_client_wrapper",  # cohere
    "httpx_client",  # cohere, twice
    "_api_client",  # google-genai
    "_pipeline",  # azure
    "_client",
    "client",
)


def aiohttp_pools(client: Any) -> list[Any]:
    """The connectors of a session, or of an SDK client that holds one.

    For a connector, the connector itself. Empty for anything else. Raises TypeError for a client
    whose session is not built yet or is closed, since it has no connector then.
    """
    if _is_connector(client):
        return [client]
    sessions = first_held(client, _sessions, _HOLDERS)
    return _connectors(client, sessions) if sessions else []


def _sessions(holder: Any) -> Iterator[Any]:
    """The sessions of a client; None or a function stands for one that is not built yet."""
    if hasattr(holder, "_connector") and hasattr(holder, "connector_owner"):
        yield holder
    elif hasattr(holder, "_transport") and hasattr(holder, "_mounts"):
        # httpx over httpx_aiohttp.AiohttpTransport; each proxy has a separate transport.
        for transport in (holder._transport, *holder._mounts.values()):
            if hasattr(transport, "get_client") and hasattr(transport, "client"):
                yield transport.client
    elif hasattr(holder, "_aiohttp_sessions"):
        yield from holder._aiohttp_sessions.values() or (None,)
    else:
        azure: Any = getattr(holder, "_transport", None)
        if hasattr(azure, "_session_owner"):
            yield azure.session


def _connectors(client: Any, sessions: list[Any]) -> list[Any]:
    found = [
        connector
        for session in sessions
        if _is_connector(connector := getattr(session, "_connector", None))
    ]
    if not found:
        raise TypeError(
            f"can't instrument {type(client).__name__!r} now: it runs on aiohttp, and its session "
            "is not built yet (most are with the first request) or is closed. Make one request "
            "first, or hand in the aiohttp.ClientSession or its connector"
        )
    return found


def _is_connector(pool: Any) -> bool:
    return hasattr(pool, "_conns") and hasattr(pool, "_acquired")
