"""Probes for the methods and attributes that the adapter uses, in the installed version.

Methods are looked up on their classes. Attributes exist only on instances, so the probes make one
of each class. No instance opens a socket.
"""

from __future__ import annotations

from typing import Any

from ..signatures import has
from .responses import reads_as_known

_POOL = ("_connections", "_requests", "_max_connections", "_max_keepalive_connections")
_CONNECTION = ("_connection", "_origin", "__dict__", "is_idle", "is_closed")
_HTTP11 = ("_expire_at", "_h11_state", "_network_stream", "is_idle")
_HTTP2 = ("_h2_state", "_expire_at", "_network_stream", "is_idle")


def network_read(owner: Any, is_async: bool) -> bool:
    """Probe the ``read`` of a network stream."""
    read = getattr(owner, "read", None)
    return callable(read) and reads_as_known(read, is_async)


def core_pool_state(core: Any, pool: Any) -> bool:
    """Probe the limits and connections of a pool."""
    return has(lambda: pool(), *_POOL) and has(lambda: _connection(core, pool), *_CONNECTION)


def setup(core: Any, pool: Any) -> bool:
    """Probe the network backend of a connection, which is replaced to time the set-up."""
    return has(lambda: _connection(core, pool), "_network_backend")


def pool_request(core: Any, owner: Any) -> bool:
    """Probe the request and the connection of a pool request."""
    return hasattr(getattr(core, "Request", None), "__init__") and has(
        lambda: owner(None), "request", "connection"
    )


def response(owner: Any) -> bool:
    """Probe the pool request of a response's stream, and whether the stream is closed."""
    return has(lambda: owner(stream=None, pool_request=None, pool=None), "_pool_request", "_closed")


def http11(owner: Any) -> bool:
    """Probe the attributes that determine why an HTTP/1.1 connection is closed."""
    return has(lambda: owner(origin=None, stream=None), *_HTTP11)


def http2(owner: Any) -> bool:
    """Probe the attributes that identify an HTTP/2 connection and determine why it is closed."""
    return has(lambda: owner(origin=None, stream=None), *_HTTP2) and has(
        lambda: owner(origin=None, stream=None)._h2_state, "streams"
    )


def _connection(core: Any, pool: Any) -> Any:
    return pool(max_connections=1).create_connection(core.Origin(b"http", b"localhost", 80))
