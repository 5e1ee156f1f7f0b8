"""The adapter for urllib3: which methods are replaced, and what depends on each."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from ...patching import Hooks, when_imported
from ..base import Adapter, ScopeOf, imported
from ..marks import BUILT_BY, CONNECTION, LEASE, LIMITS_FROM, OWNER, TRACKER, give_defaults
from ..scope import Scope
from ..signatures import takes
from . import executors, probes
from .connections import Urllib3ConnectionHooks
from .marks import EXECUTOR, POOL_ORIGIN, REFERENCE
from .pools import PoolHooks
from .reading import Urllib3Reader
from .requests import Urllib3RequestHooks
from .responses import Urllib3ResponseHooks
from .sessions import SessionHooks


class Urllib3Adapter(Adapter):
    """Patches urllib3 1.26 and 2, now or once it is imported.

    Subclasses of connections, such as botocore's, call the hooked methods of their parents. The
    copies of urllib3 inside pip and old versions of botocore are other classes and not observed.
    """

    MODULES: ClassVar = {"urllib3": "urllib3"}
    LOST: ClassVar = {
        "acquire": "everything about pools of this library",
        "wait": "telling a wait in the queue from an immediate acquire, and the pool timeout",
        "release": "lease durations and finished requests",
        "answer": "telling the phase awaiting_response from the read of a preloaded body",
        "response_close": "responses that are closed, or dropped, before their end was read",
        "connection_setup": "the end of the phase connecting, set-up times, failures to connect",
        "connection_tls": "the times of TCP and TLS within a set-up",
        "connection_close": "connections closed, and why",
        "proxy": "the origins behind a proxy that forwards",
        "read": "telling the phases reading and unread apart",
        "state": "open connections, limits and occupancy",
        "pool_owner": "the provider of pools that are built inside an any-llm call",
        "pool_close": "telling closed pools from garbage-collected ones",
        "executor": "the threads that bound a provider's requests, and what waits for one",
    }

    reader = Urllib3Reader()

    def __init__(self, module: str, on_hooks: Callable[[Hooks], None]) -> None:
        super().__init__(module, on_hooks)
        self._responses: Urllib3ResponseHooks | None = None
        self._sessions: SessionHooks | None = None

    def install(self, scope_of: ScopeOf) -> None:
        super().install(scope_of)
        # These modules import urllib3 first, so `patch` has run.
        when_imported("urllib3.http2.connection", self._patch_http2)
        when_imported("botocore.session", self._patch_sessions)
        when_imported("botocore.httpsession", self._patch_http_sessions)

    def uninstall(self) -> None:
        self._responses = self._sessions = None
        super().uninstall()

    def patch(self, module: ModuleType, scope: Scope) -> None:
        probe, hook = self.probe, self.hook
        inside = module.__name__
        pool = imported(f"{inside}.connectionpool", "HTTPConnectionPool")
        connection = imported(f"{inside}.connection", "HTTPConnection")
        secure_connection = imported(f"{inside}.connection", "HTTPSConnection")
        response = imported(f"{inside}.response", "HTTPResponse")
        manager = imported(f"{inside}.poolmanager", "PoolManager")

        def follow_forwarding() -> None:
            # This hook costs every request, so it is installed with the first pool that needs it.
            if probe("proxy", True):
                self._replace(pool, "urlopen", requests.urlopen, asynchronous=False)

        requests = Urllib3RequestHooks(scope, follow_forwarding)
        self._responses = responses = Urllib3ResponseHooks(scope)
        self._sessions = SessionHooks(scope)
        connections = Urllib3ConnectionHooks(scope.registry)
        pools = PoolHooks(scope, follow_forwarding)

        give_defaults(pool, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, POOL_ORIGIN, EXECUTOR)
        give_defaults(manager, TRACKER, OWNER, BUILT_BY, LIMITS_FROM)
        give_defaults(connection, CONNECTION, REFERENCE)
        give_defaults(response, LEASE)

        # "acquire" comes last: until ``_get_conn`` is replaced nothing is tracked, so the hooks
        # that are installed before it find no lease.
        if probe("read", probes.response_state(response) and probes.chunks(response)):
            hook("read", response, "_fp_read", responses.read)
            hook("read", response, "_update_chunk_length", responses.chunk_length)
            hook("read", response, "_handle_chunk", responses.chunk)
        probe("response_close", probes.response_state(response))
        hook("response_close", response, "close", responses.close)
        hook("answer", connection, "getresponse", responses.getresponse)
        connected = probe("connection_setup", probes.connection(connection))
        for owner in (connection, secure_connection):
            # In a build of Python without ssl, the secure connection is only a placeholder.
            if connected and owner is not None and "connect" in vars(owner):
                hook("connection_setup", owner, "connect", connections.connect)
        hook("connection_tls", connection, "_new_conn", connections.new_socket)
        hook("connection_tls", connection, "_tunnel", connections.tunnel)
        closed = hook("connection_close", connection, "close", connections.close)
        probe("proxy", callable(getattr(pool, "urlopen", None)))
        hook("pool_owner", pool, "__init__", pools.built)
        hook("pool_owner", manager, "__init__", pools.built)
        hook("pool_owner", manager, "_new_pool", pools.new_pool)
        hook("pool_close", pool, "close", pools.close)
        probe("pool_close", probes.manager(manager))
        hook("pool_close", manager, "clear", pools.clear)
        probe("executor", executors.probe())
        released = probe("release", takes(pool, "_put_conn", "conn"))
        hook("release", pool, "_put_conn", requests.put_conn)
        state = probe("wait", probe("state", probes.pool_state(pool)))
        # Tracking needs the pool's state and the hooks on every end of a request. Without them,
        # requests would stay in flight for ever.
        usable = state and released and closed
        usable = usable and probe("connection_setup", True) and probe("answer", True)
        probe("acquire", usable and takes(pool, "_get_conn", "timeout"))
        hook("acquire", pool, "_get_conn", requests.get_conn)

    def _patch_http2(self, module: ModuleType) -> None:
        connection: Any = getattr(module, "HTTP2Connection", None)
        if self._responses is not None:
            self._replace(connection, "getresponse", self._responses.getresponse)

    def _patch_sessions(self, module: ModuleType) -> None:
        if self._sessions is not None:
            make = self._sessions.create_client
            self._patch_session(getattr(module, "Session", None), "create_client", make)

    def _patch_http_sessions(self, module: ModuleType) -> None:
        if self._sessions is not None:
            make = self._sessions.proxy_manager
            owner = getattr(module, "URLLib3Session", None)
            self._patch_session(owner, "_get_proxy_manager", make)

    def _patch_session(self, owner: Any, method: str, make: Callable[[Any], Any]) -> None:
        give_defaults(owner, OWNER)
        scope, hooks = self._scope, self.hooks
        if scope is None or hooks is None:
            return
        if self._replace(owner, "__init__", scope.built) and self._replace(owner, method, make):
            return
        self.probe("pool_owner", False)
        self._on_hooks(hooks)
