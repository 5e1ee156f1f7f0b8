"""Whether the installed version has what is read of its objects.

Methods can be looked up on their classes; attributes only come with an instance, so one of each
class is made. None of them opens a socket.
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
    """The reads of a network stream."""
    read = getattr(owner, "read", None)
    return callable(read) and reads_as_known(read, is_async)


def pool_state(core: Any, pool: Any) -> bool:
    """Limits and connections of a pool."""
    return has(lambda: pool(), *_POOL) and has(lambda: _connection(core, pool), *_CONNECTION)


def setup(core: Any, pool: Any) -> bool:
    """The network backend of a connection, which is replaced to time its set-up."""
    return has(lambda: _connection(core, pool), "_network_backend")


def pool_request(core: Any, owner: Any) -> bool:
    """The request and the connection of a pool's own object for a request."""
    return hasattr(getattr(core, "Request", None), "__init__") and has(
        lambda: owner(None), "request", "connection"
    )


def response(owner: Any) -> bool:
    """The request of a response's stream, and whether it is closed."""
    return has(lambda: owner(stream=None, pool_request=None, pool=None), "_pool_request", "_closed")


def http11(owner: Any) -> bool:
    """What tells why an HTTP/1.1 connection is closed."""
    return has(lambda: owner(origin=None, stream=None), *_HTTP11)


def http2(owner: Any) -> bool:
    """What tells an HTTP/2 connection, and why it is closed."""
    return has(lambda: owner(origin=None, stream=None), *_HTTP2) and has(
        lambda: owner(origin=None, stream=None)._h2_state, "streams"
    )


def _connection(core: Any, pool: Any) -> Any:
    return pool(max_connections=1).create_connection(core.Origin(b"http", b"localhost", 80))
