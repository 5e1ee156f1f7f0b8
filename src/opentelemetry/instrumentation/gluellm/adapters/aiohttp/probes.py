"""Whether the installed version has what is read of its objects.

Attributes only come with an instance, so one of each class is made, on something that stands for an
event loop: nothing runs and no socket is opened.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ..signatures import has

_POOL = (
    "_acquired",
    "_closed",
    "_conns",
    "_force_close",
    "_keepalive_timeout",
    "_limit",
    "_limit_per_host",
)


class _NoLoop:
    """Has every method, each of which does nothing and gives something false that has them too."""

    def __init__(self, *, true: bool = True) -> None:
        self._true = true

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: _NoLoop(true=False)

    def __bool__(self) -> bool:
        return self._true


def pool_state(library: ModuleType) -> bool:
    """Limits and connections of a pool."""
    return has(lambda: library.BaseConnector(loop=_NoLoop()), *_POOL)


def given_back(protocol: Any) -> bool:
    """What a connection has met, by the time that it is given back."""
    return has(lambda: protocol(loop=_NoLoop()), "_exception")


def close_reason(protocol: Any) -> bool:
    """What tells why a connection is closed."""
    return has(lambda: protocol(loop=_NoLoop()), "_payload", "upgraded", "is_connected")


def read(reader: Any, protocol: Any) -> bool:
    """The connection that a body is read from."""
    return has(lambda: reader(protocol(loop=_NoLoop()), 1, loop=_NoLoop()), "_protocol")


def set_up(protocol: Any) -> bool:
    """The transport of a connection, which tells whether it has TLS."""
    return has(lambda: protocol(loop=_NoLoop()), "transport")


def total_timeout(library: ModuleType, helpers: Any) -> bool:
    """The timer of a request, which tells its end from a cancellation."""

    def request() -> Any:
        from yarl import URL

        return library.ClientRequest("GET", URL("http://localhost/"), loop=_NoLoop())

    return has(request, "_timer") and has(lambda: helpers.TimerContext(_NoLoop()), "_cancelled")
