"""The adapter for urllib3: which methods are replaced, and what depends on each."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from ...patching import when_imported
from ..admission import Admission
from ..base import Adapter, Surroundings
from ..marks import BUILT_BY, LIMITS_FROM, OWNER, TRACKER, give_defaults
from . import executors, probes
from .connections import ConnectionHooks
from .marks import ASKED, CONNECTION, EXECUTOR, LEASE, REFERENCE
from .pools import PoolHooks
from .reading import READER, adopt
from .requests import RequestHooks
from .responses import ResponseHooks
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

    def __init__(self) -> None:
        super().__init__()
        self._admissions: list[Admission] = []
        self._responses: ResponseHooks | None = None

    def install(self, surroundings: Surroundings) -> None:
        super().install(surroundings)
        when_imported("urllib3.http2.connection", self._install_http2)
        when_imported("botocore.session", self._install_sessions)
        when_imported("botocore.httpsession", self._install_http_sessions)

    def detach(self) -> None:
        for admission in self._admissions:
            admission.active = False
        self._admissions.clear()
        self._responses = None

    def patch(
        self,
        module: ModuleType,
        library: str,
        surroundings: Surroundings,
        found: dict[str, bool],
    ) -> None:
        admission = Admission(surroundings, library, READER, adopt, lambda _: True)
        self._admissions.append(admission)
        registry = admission.registry
        responses = ResponseHooks(registry, note_streaming=surroundings.note_streaming)
        self._responses = responses
        requests = RequestHooks(admission)
        connections = ConnectionHooks(registry)
        pools = PoolHooks(admission)

        pool = _of(module, "connectionpool", "HTTPConnectionPool")
        connection = _of(module, "connection", "HTTPConnection")
        secure_connection = _of(module, "connection", "HTTPSConnection")
        response = _of(module, "response", "HTTPResponse")
        manager = _of(module, "poolmanager", "PoolManager")

        give_defaults(pool, TRACKER, OWNER, BUILT_BY, LIMITS_FROM, ASKED, EXECUTOR)
        give_defaults(manager, TRACKER, OWNER, BUILT_BY, LIMITS_FROM)
        give_defaults(connection, CONNECTION, REFERENCE)
        give_defaults(response, LEASE)

        def probed(name: str, works: bool) -> bool:
            found[name] = works = found.get(name, True) and works
            return works

        def hook(name: str, owner: Any, attribute: str, make: Callable[[Any], Any]) -> None:
            if found.get(name, True):
                probed(name, self._replace(owner, attribute, make, asynchronous=False))

        # "acquire" comes last: until ``_get_conn`` is replaced nothing is tracked, so the hooks
        # that are installed before it find no lease.
        if probed("read", probes.response(response) and probes.chunks(response)):
            hook("read", response, "_fp_read", responses.read)
            hook("read", response, "_update_chunk_length", responses.chunk_length)
            hook("read", response, "_handle_chunk", responses.chunk)
        if probed("response_close", probes.response(response)):
            hook("response_close", response, "close", responses.close)
        hook("answer", connection, "getresponse", responses.getresponse)
        connected = probed("connection_setup", probes.connection(connection))
        for owner in (connection, secure_connection):
            # In a build of Python without ssl, the secure connection is only a placeholder.
            if connected and owner is not None and "connect" in vars(owner):
                hook("connection_setup", owner, "connect", connections.connect)
        hook("connection_tls", connection, "_new_conn", connections.new_socket)
        hook("connection_tls", connection, "_tunnel", connections.tunnel)
        hook("connection_close", connection, "close", connections.close)
        probed("proxy", callable(getattr(pool, "urlopen", None)))

        def follow_forwarding() -> None:
            # This hook costs every request, so it is installed with the first pool that needs it.
            if admission.active and found["proxy"]:
                self._replace(pool, "urlopen", requests.urlopen, asynchronous=False)

        requests.on_forwarding = pools.on_forwarding = follow_forwarding
        hook("pool_owner", pool, "__init__", pools.built)
        hook("pool_owner", manager, "__init__", pools.built)
        hook("pool_owner", manager, "_new_pool", pools.new_pool)
        hook("pool_close", pool, "close", pools.close)
        if probed("pool_close", probes.manager(manager)):
            hook("pool_close", manager, "clear", pools.clear)
        probed("executor", executors.probe())
        released = probes.takes(pool, "_put_conn", "conn")
        if probed("release", released):
            hook("release", pool, "_put_conn", requests.put_conn)
        state = probed("state", probes.pool_state(pool))
        probed("wait", state)
        # Tracking needs the pool's state and the hooks on every end of a request. Without them,
        # requests would stay in flight for ever.
        ends = found["connection_setup"] and found["connection_close"] and found["answer"]
        usable = state and released and ends
        if probed("acquire", usable and probes.takes(pool, "_get_conn", "timeout")):
            hook("acquire", pool, "_get_conn", requests.get_conn)

    def _install_http2(self, module: ModuleType) -> None:
        connection: Any = getattr(module, "HTTP2Connection", None)
        if self._responses is not None:
            self._replace(connection, "getresponse", self._responses.getresponse)

    def _install_sessions(self, module: ModuleType) -> None:
        # Runs after ``patch``, since botocore imports urllib3.
        if self._admissions:
            sessions = SessionHooks(self._admissions[0])
            self._wrap_session(module, "Session", "create_client", sessions.create_client, sessions)

    def _install_http_sessions(self, module: ModuleType) -> None:
        if self._admissions:
            sessions = SessionHooks(self._admissions[0])
            name, method = "URLLib3Session", "_get_proxy_manager"
            self._wrap_session(module, name, method, sessions.proxy_manager, sessions)

    def _wrap_session(
        self,
        module: ModuleType,
        name: str,
        method: str,
        make: Callable[[Any], Any],
        sessions: SessionHooks,
    ) -> None:
        owner: Any = getattr(module, name, None)
        give_defaults(owner, OWNER)
        claimed = self._replace(owner, "__init__", sessions.built)
        if claimed and self._replace(owner, method, make):
            return
        for hooks in self._hooks.values():
            hooks.found["pool_owner"] = False
            self.on_hooks(hooks)


def _of(package: ModuleType, module: str, name: str) -> Any:
    # The package imports all of these modules; a missing name is a missing hook.
    return getattr(getattr(package, module, None), name, None)
