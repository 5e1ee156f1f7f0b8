"""Probes for the attributes that the adapter reads, in the installed version.

Attributes exist only on instances, so each probe makes an instance with a stand-in for the event
loop. Nothing runs and no socket is opened.
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
    """Stand-in for an event loop. Each method does nothing and returns a stand-in that is false."""

    def __init__(self, *, true: bool = True) -> None:
        self._true = true

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: _NoLoop(true=False)

    def __bool__(self) -> bool:
        return self._true


def connector(library: ModuleType) -> bool:
    """Probe the limits and connections of a pool."""
    return has(lambda: library.BaseConnector(loop=_NoLoop()), *_POOL)


def connection(protocol: Any, *names: str) -> bool:
    """Probe attributes of a connection."""
    return has(lambda: protocol(loop=_NoLoop()), *names)


def body(reader: Any, protocol: Any) -> bool:
    """Probe the connection that a body is read from."""
    return has(lambda: reader(protocol(loop=_NoLoop()), 1, loop=_NoLoop()), "_protocol")


def total_timeout(library: ModuleType, helpers: Any) -> bool:
    """Probe the timer of a request, which distinguishes its timeout from a cancellation."""

    def request() -> Any:
        from yarl import URL

        return library.ClientRequest("GET", URL("http://localhost/"), loop=_NoLoop())

    return has(request, "_timer") and has(lambda: helpers.TimerContext(_NoLoop()), "_cancelled")
