"""The adapter for httpcore and httpcore2: which methods are replaced, what depends on each."""

from __future__ import annotations

import socket
import sys
from asyncio import BaseEventLoop
from types import ModuleType
from typing import Any, ClassVar

from ...patching import when_imported
from .. import steps
from ..base import LOST_IN_ALL, Adapter, ScopeOf, imported
from ..executors import EXECUTOR
from ..marks import CONNECTION, LEASE, OF_POOLS, give_defaults
from ..replacements import after_init, before, before_close
from ..scope import Scope
from ..signatures import has
from . import connections
from .reading import HttpcoreReader
from .requests import HttpcoreRequestHooks
from .responses import HttpcoreResponseHooks, reads_as_known, upgraded

_POOL = ("_connections", "_requests", "_max_connections", "_max_keepalive_connections")
_CONNECTION = ("_connection", "_origin", "__dict__", "is_idle", "is_closed")
_HTTP11 = ("_expire_at", "_h11_state", "_network_stream", "is_idle")
_HTTP2 = ("_h2_state", "_expire_at", "_network_stream", "is_idle")

_BACKENDS = ("anyio._backends._asyncio", "trio._highlevel_open_tcp_stream")
"""Modules whose ``getaddrinfo`` resolves the name of a connection that httpcore establishes."""


class HttpcoreAdapter(Adapter):
    """Patches httpcore or httpcore2, now or once it is imported."""

    # httpcore2 first: after httpx2.alias_httpx() both names mean the same classes.
    MODULES: ClassVar = {"httpcore2": "httpx2", "httpcore": "httpx"}
    LOST: ClassVar = {
        "request": "everything about pools of this library",
        "acquire": "time to acquire, occupancy and every phase after queued",
        "wait": "whether a request waited in the queue, and the pool timeout",
        "requeue": "requeues",
        "accept": "the phase queued where httpcore 1.0 assigns one connection to several requests",
        "release": "lease durations and finished requests",
        "connection_setup": "set-up times, and failures to connect",
        "connection_open": "connections opened, and the end of the phase connecting",
        "connection_close": "connections closed",
        "close_reason": "why the pool closes idle connections",
        "http2": "the phase stream_queued, and reading on HTTP/2",
        "upgrade": "which connections are WebSockets",
        **steps.LOST,
        **LOST_IN_ALL,
    }

    reader = HttpcoreReader()

    def install(self, scope_of: ScopeOf) -> None:
        # Hooks are reported from instrument() on, so the core library is imported and probed as
        # soon as it can be used. httpx itself imports it only when the first client is built.
        if self.library in sys.modules or "any_llm" in sys.modules:
            imported(self.module)
        super().install(scope_of)

    def patch(self, module: ModuleType, scope: Scope) -> None:
        hook = self.hook
        hook("resolve", socket, "getaddrinfo", steps.resolving_here)
        hook("resolve_thread", BaseEventLoop, "getaddrinfo", steps.in_thread, asynchronous=True)
        for backend in _BACKENDS:
            when_imported(backend, self._patch_backend)
        for prefix, package in (("Async", "_async"), ("", "_sync")):
            self._patch_variant(module, prefix, f"{module.__name__}.{package}", scope)

    def _patch_backend(self, module: ModuleType) -> None:
        # A class from anyio 4 on, and before that the module.
        owner = getattr(module, "AsyncIOBackend", module)
        hooks = self.hooks
        replaced = self._replace(owner, "getaddrinfo", steps.resolving)
        if hooks is not None and not replaced:
            self.probe("resolve", False)
            self.report(hooks)

    def _patch_variant(self, core: ModuleType, prefix: str, inside: str, scope: Scope) -> None:
        probe, hook = self.probe, self.hook
        is_async = bool(prefix)
        requests = HttpcoreRequestHooks(scope, is_async=is_async)
        responses = HttpcoreResponseHooks(scope.registry)
        failures = scope.registry.failures
        init = after_init(connections.established, failures, "httpcore.established")
        closes = before_close(connections.closes, failures, "httpcore.close")
        pool_closes = before_close(connections.pool_closes, failures, "httpcore.pool_close")
        upgrades = after_init(upgraded, failures, "httpcore.upgraded")
        pool = imported(f"{inside}.connection_pool", f"{prefix}ConnectionPool")
        pool_request = imported(f"{inside}.connection_pool", f"{prefix}PoolRequest")
        stream = imported(f"{inside}.connection_pool", "PoolByteStream")
        http11 = imported(f"{inside}.http11", f"{prefix}HTTP11Connection")
        http2 = imported(f"{inside}.http2", f"{prefix}HTTP2Connection")
        close = "aclose" if is_async else "close"
        handle = "handle_async_request" if is_async else "handle_request"

        give_defaults(pool, *OF_POOLS, EXECUTOR)
        give_defaults(getattr(core, "Request", None), LEASE)
        give_defaults(http11, CONNECTION)
        give_defaults(http2, CONNECTION)

        def connect() -> Any:
            origin = core.Origin(b"http", b"localhost", 80)
            return pool(max_connections=1).create_connection(origin)

        def noted(note: Any, kind: str) -> Any:
            return before(note, failures, f"httpcore.{kind}")

        def hook_awaited(name: str, owner: Any, attribute: str, make: Any) -> None:
            hook(name, owner, attribute, make, asynchronous=is_async)

        # "request" comes last: until the pool's method is replaced nothing is tracked, so the hooks
        # that are installed before it find no lease.
        requested = has(lambda: pool_request(None), "request", "connection")
        for name in ("acquire", "wait", "requeue"):
            probe(name, requested)
        hook("acquire", pool_request, "assign_to_connection", requests.assign_to_connection)
        hook_awaited("wait", pool_request, "wait_for_connection", requests.wait_for_connection)
        hook("requeue", pool_request, "clear_connection", noted(requests.requeues, "requeue"))
        # Both hooks or none: without the first, a request through a forward proxy stays queued.
        forward = imported(f"{inside}.http_proxy", f"{prefix}ForwardHTTPConnection")
        hook_awaited("accept", forward, handle, requests.forward)
        hook_awaited("accept", http11, connections.SEND_HEADERS, requests.send_request_headers)
        probe("release", has(lambda: stream(None, None, None), "_pool_request", "_closed"))
        released = responses.async_close if is_async else responses.sync_close
        hook_awaited("release", stream, close, released)
        read = getattr(getattr(core, f"{prefix}NetworkStream", None), "read", None)
        probe("read", callable(read) and reads_as_known(read, is_async))
        probe("close_reason", has(lambda: http11(None, None), *_HTTP11))
        for connection in (http11, http2):
            if connection is not None:
                hook("connection_open", connection, "__init__", init)
                hook_awaited("connection_close", connection, close, closes)
        identified = has(lambda: http2(None, None), *_HTTP2)
        identified = identified and has(lambda: http2(None, None)._h2_state, "streams")
        if http2 is not None and probe("http2", identified):
            read = responses.async_http2_read if is_async else responses.sync_http2_read
            sends, ends = responses.http2_sends, responses.http2_response_closes
            hook_awaited("http2", http2, connections.SEND_HEADERS, noted(sends, "http2"))
            hook_awaited("http2", http2, "_response_closed", noted(ends, "http2"))
            hook_awaited("http2", http2, connections.RECEIVE_EVENT, read)
        switched = imported(f"{inside}.http11", f"{prefix}HTTP11UpgradeStream")
        probe("upgrade", has(lambda: switched(None, b""), "_stream"))
        hook("upgrade", switched, "__init__", upgrades)
        hook_awaited("pool_close", pool, close, pool_closes)
        creating = connections.creating(
            timed=probe("connection_setup", has(connect, "_network_backend")), is_async=is_async
        )
        for kind in (pool, *_proxies(core, prefix, pool)):
            hook("connection_setup", kind, "create_connection", creating)
        hook("pool_owner", pool, "__init__", scope.built)
        if probe("request", probe("state", has(pool, *_POOL) and has(connect, *_CONNECTION))):
            requests.reports_release = probe("release", True)
            handled = requests.async_handle if is_async else requests.sync_handle
            hook_awaited("request", pool, handle, handled)


def _proxies(core: ModuleType, prefix: str, pool: Any) -> list[Any]:
    kinds = [getattr(core, f"{prefix}{name}", None) for name in ("HTTPProxy", "SOCKSProxy")]
    # Without the socks extra, this is a class that only raises.
    return [kind for kind in kinds if pool in getattr(kind, "__mro__", ())]
