"""What a pool of httpcore or httpcore2 lists, read without having been tracked.

``doctor --attach`` runs this file's source in a process that may lack this package. It imports the
standard library only, and changes nothing.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

POOLS = {"httpcore": "httpx", "httpcore2": "httpx2"}
"""Modules whose classes of pools these are, each with its ``gluellm.pool.library`` value."""
CLASSES = ("ConnectionPool", "AsyncConnectionPool")
CLIENTS = {"httpx": ("Client", "AsyncClient"), "httpx2": ("Client", "AsyncClient")}
_EXCHANGES = {"SEND_RESPONSE": "awaiting_response", "SEND_BODY": "reading"}


def listed(pool: Any) -> dict[str, Any]:
    """Return the limits of a pool, its connections, and how many requests queue.

    ``held_before`` of a connection is explained at `pool.lease.ConnectionView`.
    """
    requests = tuple(pool._requests)
    held = {id(one.connection) for one in requests}
    timeouts = [one.request.extensions.get("timeout") or {} for one in requests]
    return {
        "max_connections": bound(pool._max_connections),
        "max_idle_connections": bound(pool._max_keepalive_connections),
        "keepalive_expiry": getattr(pool, "_keepalive_expiry", None),
        "tcp_keepalive": tcp_keepalive(pool),
        "synchronous": not hasattr(pool, "handle_async_request"),
        "in_flight": len(requests),
        "queued": sum(1 for one in requests if one.connection is None),
        "pool_timeout": next((each.get("pool") for each in timeouts), None),
        "read_timeout": next((each.get("read") for each in timeouts), None),
        "connections": [_listed(one, id(one) in held) for one in tuple(pool._connections)],
    }


def timeouts_of(client: Any) -> dict[int, dict[str, Any]]:
    """Return the timeouts of a client's requests, by ``id()`` of its pools."""
    timeouts = {"pool_timeout": client._timeout.pool, "read_timeout": client._timeout.read}
    transports = (client._transport, *client._mounts.values())
    pools = (getattr(one, "_pool", None) for one in transports)
    return {id(pool): timeouts for pool in pools if pool is not None}


def _listed(connection: Any, held: bool) -> dict[str, Any]:
    inner = protocol_connection(connection)
    origin = getattr(connection, "_remote_origin", None) or connection._origin
    state = "idle" if connection.is_idle() else "connecting" if inner is None else "active"
    if connection.is_closed():
        state = "closed"
    return {
        "host": origin.host.decode("ascii", "replace"),
        "port": origin.port,
        "secure": origin.scheme in (b"https", b"wss"),
        "state": state,
        "protocol": "1.1" if inner is None or hasattr(inner, "_h11_state") else "2",
        "requests_served": max(0, getattr(inner, "_request_count", 0) - held),
        "held_before": exchange(inner) if held and state != "idle" else None,
        "socket": inner and inner._network_stream.get_extra_info("socket"),
    }


def exchange(inner: Any) -> str:
    """Return the phase of the request on an HTTP/1.1 connection; empty if it is unknown.

    ``reading`` once the head of the answer has arrived, whether anything reads it or not.
    """
    return _EXCHANGES.get(repr(getattr(getattr(inner, "_h11_state", None), "their_state", "")), "")


def protocol_connection(connection: Any) -> Any | None:
    """The HTTP/1.1 or HTTP/2 connection inside; None while it is being established.

    Direct and SOCKS connections hold it. A forwarding connection holds a direct connection to the
    proxy. So does a tunnel, until its own connection is established.
    """
    if getattr(connection, "_connected", True) is False:
        return None
    inner = getattr(connection, "_connection", None)
    if inner is not None and hasattr(inner, "_connect_failed"):
        inner = inner._connection
    return inner


def tcp_keepalive(pool: Any) -> bool | None:
    """Whether the pool turns SO_KEEPALIVE on; None if unknown. Only its own options do."""
    options = getattr(pool, "_socket_options", None)
    if options is None:
        return False if hasattr(pool, "_socket_options") else None
    wanted = (socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    return any(tuple(option[:2]) == wanted and bool(option[2]) for option in options)


def bound(limit: int) -> int | None:
    """Return a limit; None for an unlimited one. Both libraries use sys.maxsize for that."""
    return None if limit >= sys.maxsize else limit
