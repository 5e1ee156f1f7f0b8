"""The adapter for aiohttp: which methods are replaced, and what depends on each."""

from __future__ import annotations

import socket
from asyncio import BaseEventLoop
from types import ModuleType
from typing import Any, ClassVar

from .. import steps
from ..base import LOST_IN_ALL, Adapter, imported
from ..marks import CONNECTION, LEASE, OF_POOLS, give_defaults
from ..replacements import after_init, before_close
from ..scope import Scope
from ..signatures import has, has_method
from . import connections
from .reading import AiohttpReader
from .requests import ENTERING, AiohttpRequestHooks
from .responses import AiohttpResponseHooks

_CONNECTORS = ("TCPConnector", "UnixConnector", "NamedPipeConnector")

_POOL = (
    "_acquired",
    "_closed",
    "_conns",
    "_force_close",
    "_keepalive_timeout",
    "_limit",
    "_limit_per_host",
)


class AiohttpAdapter(Adapter):
    """Patches aiohttp's connectors, now or once it is imported."""

    MODULES: ClassVar = {"aiohttp": "aiohttp"}
    LOST: ClassVar = {
        "request": "everything about pools of this library",
        "release": "everything about pools of this library: requests would never end",
        "wait": "whether a request waited in the queue",
        "connection_setup": "set-up times, and connections opened",
        "response": "statuses, and every phase after awaiting_response",
        "connection_close": "connections closed",
        "close_reason": "why connections are closed",
        "second_loop": "whether a session is used on a second event loop",
        "total_timeout": "whether the total timeout or a cancellation ended a request",
        **steps.LOST,
        **LOST_IN_ALL,
    }

    reader = AiohttpReader()

    def patch(self, module: ModuleType, scope: Scope) -> None:
        probe, hook = self.probe, self.hook
        requests = AiohttpRequestHooks(scope)
        responses = AiohttpResponseHooks(scope)
        failures = scope.registry.failures
        pool = getattr(module, "BaseConnector", None)
        protocol = imported(f"{self.module}.client_proto", "ResponseHandler")
        reader: Any = getattr(module, "StreamReader", None)

        give_defaults(pool, *OF_POOLS, ENTERING)
        give_defaults(protocol, CONNECTION)
        give_defaults(getattr(module, "ClientRequest", None), LEASE)

        # "request" comes last: until ``connect`` is replaced nothing is tracked, so the hooks that
        # are installed before it find no lease.
        helpers = imported(f"{self.module}.helpers")
        probe("total_timeout", _total_timeout(module, helpers))
        session = getattr(module, "ClientSession", None)
        probe("second_loop", hasattr(session, "_connector"))
        checks = before_close(requests.check_loop, failures, "aiohttp.second_loop")
        hook("second_loop", getattr(helpers, "TimeoutHandle", None), "close", checks)
        self._replace(session, "_request", requests.enter, asynchronous=True)
        hook("wait", pool, "_wait_for_available_connection", requests.wait, asynchronous=True)
        probe("read", has(lambda: reader(protocol(loop=_NoLoop()), 1, loop=_NoLoop()), "_protocol"))
        hook("read", reader, "_wait", responses.body, asynchronous=True)
        probe("response", has_method(protocol, "feed_data"))
        hook("response", protocol, "read", responses.head, asynchronous=True)
        reasons = _connection(protocol, "_payload", "upgraded", "is_connected")
        probe("connection_close", probe("close_reason", reasons))
        closes = before_close(responses.closes, failures, "aiohttp.close")
        hook("connection_close", protocol, "close", closes)
        if probe("connection_setup", _connection(protocol, "transport")):
            creates = requests.create_connection
            for name in _CONNECTORS:
                kind = getattr(module, name, None)
                hook("connection_setup", kind, "_create_connection", creates, asynchronous=True)
            made = after_init(connections.protocol_made, failures, "aiohttp.protocol")
            hook("connection_setup", protocol, "__init__", made)
        connector = getattr(module, "TCPConnector", None)
        hook("resolve", connector, "_resolve_host", steps.resolving, asynchronous=True)
        hook("resolve_thread", BaseEventLoop, "getaddrinfo", steps.in_thread, asynchronous=True)
        hook("resolve_thread", socket, "getaddrinfo", steps.resolving_here)
        hook("pool_close", pool, "_close", responses.pool_close, asynchronous=None)
        hook("pool_owner", pool, "__init__", scope.built)
        probe("release", _connection(protocol, "_exception"))
        released = hook("release", pool, "_release", responses.release)
        state = has(lambda: module.BaseConnector(loop=_NoLoop()), *_POOL)
        probe("request", probe("state", state) and released)
        hook("request", pool, "connect", requests.connect, asynchronous=True)


class _NoLoop:
    """Stand-in for an event loop. Each method does nothing and returns a stand-in that is false.

    The probes below look for attributes that exist only on instances, so each makes an instance
    with it. Nothing runs and no socket is opened.
    """

    def __init__(self, *, true: bool = True) -> None:
        self._true = true

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *_, **__: _NoLoop(true=False)

    def __bool__(self) -> bool:
        return self._true


def _connection(protocol: Any, *names: str) -> bool:
    """Probe attributes of a connection."""
    return has(lambda: protocol(loop=_NoLoop()), *names)


def _total_timeout(library: ModuleType, helpers: Any) -> bool:
    """Probe the timer of a request, which distinguishes its timeout from a cancellation."""

    def request() -> Any:
        from yarl import URL

        return library.ClientRequest("GET", URL("http://localhost/"), loop=_NoLoop())

    return has(request, "_timer") and has(lambda: helpers.TimerContext(_NoLoop()), "_cancelled")
