"""The adapter for urllib3: which methods are replaced, and what depends on each."""

from __future__ import annotations

import socket
from types import ModuleType
from typing import Any, ClassVar

from ...patching import when_imported
from .. import steps
from ..base import LOST_IN_ALL, Adapter, ScopeOf, imported
from ..executors import EXECUTOR, probe_executor
from ..marks import CONNECTION, LEASE, OF_POOLS, OWNER, give_defaults
from ..replacements import after_init, before_close
from ..scope import Scope
from ..signatures import has, has_method
from .connections import POOL_ORIGIN, REFERENCE, Urllib3ConnectionHooks
from .pools import PoolHooks
from .reading import Urllib3Reader
from .requests import Urllib3RequestHooks
from .responses import Urllib3ResponseHooks

_POOL = ("host", "port", "scheme", "pool", "block", "proxy")
_SESSIONS = {
    "botocore.session": ("Session", "create_client"),
    "botocore.httpsession": ("URLLib3Session", "_get_proxy_manager"),
}
"""botocore's sessions by module, each with the method that builds clients or managers later."""
_RESPONSE = ("_pool", "_connection", "_original_response", "_fp")


class Urllib3Adapter(Adapter):
    """Patches urllib3 1.26 and 2, now or once it is imported.

    Subclasses of connections, such as botocore's, call the hooked methods of their parents. The
    copies of urllib3 inside pip and old versions of botocore are other classes and not observed.
    """

    MODULES: ClassVar = {"urllib3": "urllib3"}
    INSTALLED_OVER: ClassVar = {"urllib3": "urllib3-future"}  # niquests requires it
    LOST: ClassVar = {
        "acquire": "everything about pools of this library",
        "wait": "whether a request waited in the queue, and the pool timeout",
        "release": "lease durations and finished requests",
        "answer": "the end of the phase awaiting_response if the body is preloaded",
        "response_close": "responses that are closed, or dropped, before their end was read",
        "connection_setup": "the end of the phase connecting, set-up times, failures to connect",
        "connection_tls": "the times of TCP and TLS within a set-up",
        "resolve": steps.LOST["resolve"],
        "connection_close": "connections closed, and why",
        "retry_after": "urllib3's pauses for Retry-After",
        "proxy": "the origins behind a proxy that forwards",
        "executor": "how many threads send a provider's requests, and what waits for one",
        **LOST_IN_ALL,
    }

    reader = Urllib3Reader()
    _responses: Urllib3ResponseHooks | None = None
    _pools: PoolHooks | None = None

    def install(self, scope_of: ScopeOf) -> None:
        super().install(scope_of)
        # These modules import urllib3 first, so `patch` has run.
        when_imported("urllib3.http2.connection", self._patch_http2)
        for module in _SESSIONS:
            when_imported(module, self._patch_session)

    def patch(self, module: ModuleType, scope: Scope) -> None:
        probe, hook = self.probe, self.hook
        inside = module.__name__
        pool = imported(f"{inside}.connectionpool", "HTTPConnectionPool")
        connection = imported(f"{inside}.connection", "HTTPConnection")
        secure_connection = imported(f"{inside}.connection", "HTTPSConnection")
        response = imported(f"{inside}.response", "HTTPResponse")
        manager = imported(f"{inside}.poolmanager", "PoolManager")
        retry = imported(f"{inside}.util.retry", "Retry")

        def follow_forwarding() -> None:
            # This hook costs every request, so it is installed with the first pool that needs it.
            if probe("proxy", True):
                self._replace(pool, "urlopen", requests.urlopen, asynchronous=False)

        requests = Urllib3RequestHooks(scope, follow_forwarding)
        self._responses = responses = Urllib3ResponseHooks(scope)
        connections = Urllib3ConnectionHooks(scope.registry)
        self._pools = pools = PoolHooks(scope, follow_forwarding)
        failures = scope.registry.failures
        built = after_init(pools.built, failures, "urllib3.claim")
        closes = before_close(connections.closes, failures, "urllib3.close")
        pool_closes = before_close(pools.closes, failures, "urllib3.pool_close")
        cleared = before_close(pools.cleared, failures, "urllib3.pool_close")

        give_defaults(pool, *OF_POOLS, POOL_ORIGIN, EXECUTOR)
        give_defaults(manager, *OF_POOLS)
        give_defaults(connection, CONNECTION, REFERENCE)
        give_defaults(response, LEASE)

        # "acquire" comes last: until ``_get_conn`` is replaced nothing is tracked, so the hooks
        # that are installed before it find no lease.
        identified = has(lambda: response(preload_content=False), *_RESPONSE)
        if probe("read", identified and has(lambda: response(preload_content=False), "chunk_left")):
            hook("read", response, "_fp_read", responses.read)
            hook("read", response, "_update_chunk_length", responses.chunk_length)
            hook("read", response, "_handle_chunk", responses.chunk)
        probe("response_close", identified)
        hook("response_close", response, "close", responses.close)
        hook("answer", connection, "getresponse", responses.getresponse)
        hook("retry_after", retry, "sleep_for_retry", responses.sleep_for_retry)
        addressed = has(lambda: connection("localhost"), "sock", "host", "port")
        connected = probe("connection_setup", addressed)
        for owner in (connection, secure_connection):
            # In a build of Python without ssl, the secure connection is only a placeholder.
            if connected and owner is not None and "connect" in vars(owner):
                hook("connection_setup", owner, "connect", connections.connect)
        hook("resolve", socket, "getaddrinfo", steps.resolving_here)
        hook("connection_tls", connection, "_new_conn", connections.new_socket)
        hook("connection_tls", connection, "_tunnel", connections.tunnel)
        closed = hook("connection_close", connection, "close", closes)
        probe("proxy", has_method(pool, "urlopen"))
        hook("pool_owner", pool, "__init__", built)
        hook("pool_owner", manager, "__init__", built)
        hook("pool_owner", manager, "_new_pool", pools.new_pool)
        hook("pool_close", pool, "close", pool_closes)
        probe("pool_close", has(lambda: manager().pools, "_container"))
        hook("pool_close", manager, "clear", cleared)
        probe("executor", probe_executor())
        released = hook("release", pool, "_put_conn", requests.put_conn)
        state = has(lambda: pool("localhost"), *_POOL)
        state = state and has(lambda: pool("localhost").pool, "queue", "maxsize")
        state = probe("wait", probe("state", state))
        # Tracking needs the pool's state and the hooks on every end of a request. Without them,
        # requests would stay in flight for ever.
        usable = state and released and closed
        usable = usable and probe("connection_setup", True) and probe("answer", True)
        probe("acquire", usable)
        hook("acquire", pool, "_get_conn", requests.get_conn)

    def _patch_http2(self, module: ModuleType) -> None:
        connection: Any = getattr(module, "HTTP2Connection", None)
        if self._responses is not None:
            self._replace(connection, "getresponse", self._responses.getresponse)

    def _patch_session(self, module: ModuleType) -> None:
        scope, hooks, pools = self._scope, self.hooks, self._pools
        if scope is None or hooks is None or pools is None:
            return
        name, method = _SESSIONS[module.__name__]
        owner: Any = getattr(module, name, None)
        give_defaults(owner, OWNER)
        if not (
            self._replace(owner, "__init__", scope.built)
            and self._replace(owner, method, pools.of_session)
        ):
            self.probe("pool_owner", False)
            self.report(hooks)
