"""What a connector of aiohttp lists, read without having been tracked.

``doctor --attach`` runs this file's source in a process that may lack this package. It imports the
standard library only, and changes nothing.
"""

from __future__ import annotations

from typing import Any

POOLS = {"aiohttp": "aiohttp"}
CLASSES = ("BaseConnector",)
CLIENTS = {"aiohttp": ("ClientSession",)}


def listed(pool: Any) -> dict[str, Any]:
    """Return the limits of a connector, its connections, and how many requests queue."""
    waiters, queues = getattr(pool, "_waiters", {}), 0
    for queue in tuple(waiters.values()):
        queues += len(queue)
    used = tuple(pool._acquired)
    idle = [protocol for each in tuple(pool._conns.values()) for protocol, _ in tuple(each)]
    return {
        "max_connections": pool._limit or None,
        "max_connections_per_origin": pool._limit_per_host or None,
        "keepalive_expiry": 0.0 if pool._force_close else pool._keepalive_timeout,
        "in_flight": len(used) + queues,
        "queued": queues,
        "connections": [
            *(_listed(one, held=True) for one in used),
            *(_listed(one, held=False) for one in idle),
        ],
    }


def timeouts_of(client: Any) -> dict[int, dict[str, Any]]:
    """Return the timeouts of a session's requests, by ``id()`` of its connector."""
    timeout = client._timeout
    found = {"pool_timeout": timeout.connect, "read_timeout": timeout.sock_read or timeout.total}
    return {id(client._connector): found}


def _listed(protocol: Any, *, held: bool) -> dict[str, Any]:
    transport = getattr(protocol, "transport", None)  # placeholders have none
    extra = transport.get_extra_info if transport is not None else lambda _: None
    peer = extra("peername")
    address, port = peer[:2] if isinstance(peer, tuple) else ("", None)
    secure = extra("ssl_object")
    return {
        "host": getattr(secure, "server_hostname", None) or address,
        "port": port,
        "secure": secure is not None,
        "state": "idle" if not held else "connecting" if transport is None else "active",
        "protocol": "1.1",
        "requests_served": 0,
        "held_before": exchange(protocol) if held else None,
        "socket": extra("socket"),
    }


def exchange(protocol: Any) -> str:
    """Return the phase of the request on a connection; empty while that is being established.

    ``reading`` once the head of the answer has arrived, whether anything reads it or not.
    """
    if getattr(protocol, "transport", None) is None:
        return ""
    return "awaiting_response" if getattr(protocol, "_payload", None) is None else "reading"
