"""The adapter for httpcore and httpcore2: which methods are replaced, what depends on each."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar

from ...failures import Failures, raise_on
from ...pool.tracker import PoolTracker
from ..admission import Admission
from ..base import Adapter, Surroundings
from ..marks import BUILT_BY, LIMITS_FROM, OWNER, TRACKER, give_defaults
from . import connections, probes
from .marks import CONNECTION, LEASE, connection_of
from .reasons import close_reason
from .requests import RequestHooks
from .responses import ResponseHooks
from .upgrades import upgraded


class HttpcoreAdapter(Adapter):
    """Patches httpcore and httpcore2, each now or once it is imported."""

    # httpcore2 first: after httpx2.alias_httpx() both names mean the same classes.
    MODULES: ClassVar = {"httpcore2": "httpx2", "httpcore": "httpx"}
    LOST: ClassVar = {
        "request": "everything about pools of this library",
        "acquire": "time to acquire, occupancy and every phase after queued",
        "wait": "telling a wait in the queue from an immediate acquire, and the pool timeout",
        "requeue": "requeues",
        "accept": "the phase queued where httpcore 1.0 assigns one connection to several requests",
        "release": "lease durations and finished requests",
        "connection_setup": "set-up times, and failures to connect",
        "connection_open": "connections opened, and the end of the phase connecting",
        "connection_close": "connections closed",
        "close_reason": "why the pool closes idle connections",
        "read": "telling the phases reading and unread apart",
        "http2": "the phase stream_queued, and reading on HTTP/2",
        "upgrade": "telling WebSockets from HTTP/1.1",
        "state": "open connections, limits and occupancy",
        "pool_owner": "the provider of pools that are built inside an any-llm call",
        "pool_close": "telling closed pools from garbage-collected ones",
    }

    def __init__(self) -> None:
        super().__init__()
        self._admissions: list[Admission] = []

    def install(self, surroundings: Surroundings) -> None:
        for core, library in self.MODULES.items():
            if _is_wanted(library):
                _module(core)
        super().install(surroundings)

    def detach(self) -> None:
        for admission in self._admissions:
            admission.active = False
        self._admissions.clear()

    def patch(
        self,
        module: ModuleType,
        library: str,
        surroundings: Surroundings,
        found: dict[str, bool],
    ) -> None:
        admission = Admission(
            surroundings, library, connections.READER, connections.adopt, _is_synchronous
        )
        self._admissions.append(admission)
        requests = RequestHooks(admission)
        for prefix, package in (("Async", "_async"), ("", "_sync")):
            self._install_variant(module, prefix, package, requests, found)

    def _install_variant(
        self,
        core: ModuleType,
        prefix: str,
        package: str,
        requests: RequestHooks,
        found: dict[str, bool],
    ) -> None:
        is_async = bool(prefix)
        responses = ResponseHooks(requests.registry)
        inside = f"{core.__name__}.{package}"
        pools = _module(f"{inside}.connection_pool")
        pool = getattr(pools, f"{prefix}ConnectionPool", None)
        pool_request = getattr(pools, f"{prefix}PoolRequest", None)
        stream = getattr(pools, "PoolByteStream", None)
        http11 = getattr(_module(f"{inside}.http11"), f"{prefix}HTTP11Connection", None)
        http2 = getattr(_module(f"{inside}.http2"), f"{prefix}HTTP2Connection", None)
        network = getattr(core, f"{prefix}NetworkStream", None)
        close = "aclose" if is_async else "close"
        handle = "handle_async_request" if is_async else "handle_request"

        give_defaults(pool, TRACKER, OWNER, BUILT_BY, LIMITS_FROM)
        give_defaults(getattr(core, "Request", None), LEASE)
        give_defaults(http11, CONNECTION)
        give_defaults(http2, CONNECTION)

        def probed(name: str, works: bool) -> bool:
            found[name] = works = found.get(name, True) and works
            return works

        def hook(
            name: str,
            owner: Any,
            attribute: str,
            make: Callable[[Any], Any],
            *,
            awaited: bool = False,
        ) -> None:
            if found.get(name, True):
                asynchronous = awaited and is_async
                probed(name, self._replace(owner, attribute, make, asynchronous=asynchronous))

        # "request" comes last: until the pool's method is replaced nothing is tracked, so the hooks
        # that are installed before it find no lease.
        requested = probes.pool_request(core, pool_request)
        for name, attribute, make in (
            ("acquire", "assign_to_connection", requests.assign_to_connection),
            ("wait", "wait_for_connection", requests.wait_for_connection),
            ("requeue", "clear_connection", requests.clear_connection),
        ):
            if probed(name, requested):
                hook(name, pool_request, attribute, make, awaited=name == "wait")
        # Both hooks or none: without the first, a request through a forward proxy stays queued.
        forward = getattr(_module(f"{inside}.http_proxy"), f"{prefix}ForwardHTTPConnection", None)
        forwarding = requests.async_forward if is_async else requests.sync_forward
        hook("accept", forward, handle, forwarding, awaited=True)
        hook("accept", http11, "_send_request_headers", requests.http11_send, awaited=True)
        if probed("release", probes.response(stream)):
            released = responses.async_close if is_async else responses.sync_close
            hook("release", stream, close, released, awaited=True)
        probed("read", probes.network_read(network, is_async))
        probed("close_reason", probes.http11(http11))
        for connection in (http11, http2):
            if connection is not None:
                hook("connection_open", connection, "__init__", self._connection_init)
                hook("connection_close", connection, close, self._connection_close, awaited=True)
        if http2 is not None and probed("http2", probes.http2(http2)):
            read = responses.async_http2_read if is_async else responses.sync_http2_read
            closed = responses.http2_response_closed
            hook("http2", http2, handle, responses.http2_handle, awaited=True)
            hook("http2", http2, "_send_request_headers", responses.http2_send, awaited=True)
            hook("http2", http2, "_response_closed", closed, awaited=True)
            hook("http2", http2, "_receive_stream_event", read, awaited=True)
        switched = getattr(_module(f"{inside}.http11"), f"{prefix}HTTP11UpgradeStream", None)
        hook("upgrade", switched, "__init__", self._upgrade_init)
        ended = self._async_pool_close if is_async else self._pool_close
        hook("pool_close", pool, close, ended, awaited=True)
        timed = probed("connection_setup", probes.setup(core, pool))
        create = self._create_connection(timed)
        hook("connection_setup", pool, "create_connection", create)
        for other in (f"{prefix}HTTPProxy", f"{prefix}SOCKSProxy"):
            proxy = getattr(core, other, None)
            # Without the socks extra, this is a class that only raises.
            if proxy is not None and pool is not None and issubclass(proxy, pool):
                hook("connection_setup", proxy, "create_connection", create)
        hook("pool_owner", pool, "__init__", requests.pool_init)
        if probed("state", probes.pool_state(core, pool)):
            requests.release_logged = found["release"]
            whole = requests.handle_async_request if is_async else requests.handle_request
            hook("request", pool, handle, whole, awaited=True)
        else:
            probed("request", False)

    # Replacements for methods of connections and for closing a pool

    def _connection_init(self, original: Any) -> Any:
        failures = self._failures()

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            try:
                connections.established(self_, self_._network_stream)
            except Exception as error:
                failures.caught("httpcore.established", error)

        return __init__

    def _upgrade_init(self, original: Any) -> Any:
        failures = self._failures()

        def __init__(self_: Any, stream: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, stream, *args, **kwargs)
            try:
                upgraded(stream)
            except Exception as error:
                failures.caught("httpcore.upgraded", error)

        return __init__

    def _connection_close(self, original: Any) -> Any:
        def close(self_: Any) -> Any:
            connection = connection_of(self_)
            if connection is not None and not connection.closed:
                try:
                    if connection.streams is None and self_.is_idle():
                        connection.tracker.given_back(connection)
                    connection.close(close_reason(self_, connection))
                except Exception as error:
                    connection.tracker.registry.failures.caught("httpcore.close", error)
            return original(self_)

        return close

    def _create_connection(self, timed: bool) -> Callable[[Any], Any]:
        def make(original: Any) -> Any:
            def create_connection(self_: Any, origin: Any) -> Any:
                connection = original(self_, origin)
                tracker: PoolTracker | None = getattr(self_, TRACKER, None)
                if tracker is None or connection_of(connection) is not None:
                    return connection
                registry = tracker.registry
                try:
                    # A closed pool still connects for requests that were queued in it.
                    keeper = tracker if tracker.open else registry.still_queued_in(self_)
                    if keeper is not None:
                        connections.created(connection, origin, keeper, timed=timed)
                except Exception as error:
                    registry.failures.caught("httpcore.create", error)
                return connection

            return create_connection

        return make

    def _failures(self) -> Failures:
        assert self._surroundings is not None
        return self._surroundings.registry.failures

    def _pool_close(self, original: Any) -> Any:
        def close(self_: Any) -> Any:
            _closing(self_)
            return original(self_)

        return close

    def _async_pool_close(self, original: Any) -> Any:
        async def aclose(self_: Any) -> Any:
            _closing(self_)
            return await original(self_)

        return aclose


def _is_synchronous(pool: Any) -> bool:
    return not hasattr(pool, "handle_async_request")


def _closing(pool: Any) -> None:
    tracker = _tracker(pool)
    if tracker is None:
        return
    try:
        for connection in tuple(pool._connections):
            known = connection_of(connection)
            if known is not None:
                known.closing = "pool_closed"
        tracker.discard("closed")
    except Exception as error:
        tracker.registry.failures.caught("httpcore.pool_close", error)


def _tracker(pool: Any) -> PoolTracker | None:
    tracker: PoolTracker | None = getattr(pool, TRACKER, None)
    return tracker if tracker is not None and tracker.open else None


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except Exception as error:  # not only ImportError: importing can raise anything
        raise_on(error)
        return None


def _is_wanted(library: str) -> bool:
    # Hooks are reported from instrument() on, so the core library is imported and probed as soon as
    # it can be used. httpx itself imports it only when the first client is built.
    return library in sys.modules or "any_llm" in sys.modules
