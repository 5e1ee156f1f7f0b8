"""The adapter for httpcore and httpcore2: which methods are replaced, and what rests on each."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import weakref
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from ...patching import PatchSet, when_imported
from ...pool.guard import Failures
from ...pool.registry import Owner
from ...pool.seams import Seams
from ...pool.tracker import PoolTracker
from ..base import Adapter, Surroundings
from . import connections
from .marks import CONNECTION, LEASE, OWNER, TRACKER, connection_of, give_defaults
from .requests import EXCLUDED, RequestSeams
from .responses import ResponseSeams

# httpcore2 first: after httpx2.alias_httpx() both names mean the same classes.
_LIBRARIES = {"httpcore2": "httpx2", "httpcore": "httpx"}

_LOST = {
    "request": "everything about pools of this library",
    "acquire": "time to acquire, occupancy and every phase after queued",
    "wait": "telling a wait in the queue from an immediate acquire, and the pool timeout",
    "requeue": "requeues",
    "release": "lease durations and finished requests",
    "connection_setup": "set-up times, and failures to connect",
    "connection_open": "connections opened, and the end of the phase connecting",
    "connection_close": "connections closed",
    "close_reason": "why the pool closes idle connections",
    "read": "telling the phases reading and unread apart",
    "http2": "the phase stream_queued, and reading on HTTP/2",
    "state": "open connections, limits and occupancy",
    "pool_owner": "the provider of pools that are built inside an any-llm call",
    "pool_close": "telling closed pools from garbage-collected ones",
}


class HttpcoreAdapter(Adapter):
    """Patches whichever of httpcore and httpcore2 is there, now or once it is imported."""

    def __init__(self) -> None:
        self._surroundings: Surroundings | None = None
        self._patches = PatchSet()
        self._installed: dict[str, RequestSeams] = {}
        self._seams: dict[str, Seams] = {}
        self.on_seams: Callable[[Seams], None] = _ignore
        """Told of each library's seams when it has been looked at."""

    def install(self, surroundings: Surroundings) -> None:
        if self._surroundings is not None:
            return
        self._surroundings = surroundings
        for core, library in _LIBRARIES.items():
            if _is_wanted(library) and importlib.util.find_spec(core) is not None:
                importlib.import_module(core)
            when_imported(core, self._install_module)

    def uninstall(self) -> None:
        self._surroundings = None
        for seams in self._installed.values():
            seams.active = False
        self._installed.clear()
        self._patches.undo()
        self._seams.clear()

    def seams(self) -> list[Seams]:
        return list(self._seams.values())

    # One library

    def _install_module(self, module: ModuleType) -> None:
        surroundings = self._surroundings
        core = module.__name__
        if surroundings is None or core in self._installed or core not in _LIBRARIES:
            return
        library = _LIBRARIES[core]
        requests = RequestSeams(surroundings, library)
        self._installed[core] = requests
        seams = Seams(library, _version(core), signals=_LOST)
        self._seams[library] = seams
        for prefix, package in (("Async", "_async"), ("", "_sync")):
            self._install_variant(core, prefix, package, requests, seams.found)
        self.on_seams(seams)

    def _install_variant(
        self,
        core: str,
        prefix: str,
        package: str,
        requests: RequestSeams,
        found: dict[str, bool],
    ) -> None:
        is_async = bool(prefix)
        responses = ResponseSeams(requests.registry)
        pools = _module(f"{core}.{package}.connection_pool")
        http11 = getattr(_module(f"{core}.{package}.http11"), f"{prefix}HTTP11Connection", None)
        http2 = getattr(_module(f"{core}.{package}.http2"), f"{prefix}HTTP2Connection", None)
        pool = getattr(pools, f"{prefix}ConnectionPool", None)
        pool_request = getattr(pools, f"{prefix}PoolRequest", None)
        stream = getattr(pools, "PoolByteStream", None)
        close = "aclose" if is_async else "close"
        handle = "handle_async_request" if is_async else "handle_request"

        give_defaults(pool, TRACKER, OWNER)
        give_defaults(getattr(sys.modules[core], "Request", None), LEASE)
        give_defaults(http11, CONNECTION)
        give_defaults(http2, CONNECTION)

        def seam(name: str, owner: Any, attribute: str, make: Callable[[Any], Any]) -> None:
            works = owner is not None and callable(getattr(owner, attribute, None))
            found[name] = found.get(name, True) and works
            if works:
                self._patches.wrap(owner, attribute, make)

        network = getattr(sys.modules[core], f"{prefix}NetworkStream", None)
        state, setup = _probe(sys.modules[core], pool)
        found["state"] = found.get("state", True) and state
        found["read"] = found.get("read", True) and callable(getattr(network, "read", None))
        found["connection_setup"] = found.get("connection_setup", True) and setup
        # The request comes last: until it is replaced nothing is tracked, so whatever is patched
        # before it finds no lease.
        seam("acquire", pool_request, "assign_to_connection", requests.assign_to_connection)
        seam("wait", pool_request, "wait_for_connection", requests.wait_for_connection)
        seam("requeue", pool_request, "clear_connection", requests.clear_connection)
        seam("release", stream, close, responses.async_close if is_async else responses.sync_close)
        seam("connection_open", http11, "__init__", self._connection_init)
        seam("connection_close", http11, close, self._connection_close)
        read = responses.async_http2_read if is_async else responses.sync_http2_read
        if http2 is not None:
            seam("connection_open", http2, "__init__", self._connection_init)
            seam("connection_close", http2, close, self._connection_close)
            seam("http2", http2, handle, responses.http2_handle)
            seam("http2", http2, "_send_request_headers", responses.http2_send)
            seam("http2", http2, "_response_closed", responses.http2_response_closed)
            seam("http2", http2, "_receive_stream_event", read)
        seam("pool_close", pool, close, self._pool_close)
        seam("connection_setup", pool, "create_connection", self._create_connection)
        for other in (f"{prefix}HTTPProxy", f"{prefix}SOCKSProxy"):
            proxy = getattr(sys.modules[core], other, None)
            # Without the socks extra the name stands for a class that only raises.
            if proxy is not None and pool is not None and issubclass(proxy, pool):
                seam("connection_setup", proxy, "create_connection", self._create_connection)
        seam("pool_owner", pool, "__init__", requests.pool_init)
        found["close_reason"] = found.get("close_reason", True) and _has_close_state(http11)
        make = requests.handle_async_request if is_async else requests.handle_request
        if found["state"]:
            seam("request", pool, handle, make)
        else:
            found["request"] = False

    # Replacements that know connections

    def _connection_init(self, original: Any) -> Any:
        failures = self._failures()

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            try:
                connections.established(self_, self_._network_stream)
            except Exception as error:
                failures.caught("httpcore.established", error)

        return __init__

    def _connection_close(self, original: Any) -> Any:
        def close(self_: Any) -> Any:
            connection = self_._gluellm_connection
            if connection is not None and not connection.closed:
                try:
                    connection.close(connections.close_reason(self_, connection))
                except Exception as error:
                    connection.tracker.registry.failures.caught("httpcore.close", error)
            return original(self_)

        return close

    def _create_connection(self, original: Any) -> Any:
        def create_connection(self_: Any, origin: Any) -> Any:
            connection = original(self_, origin)
            tracker = _tracker(self_)
            if tracker is not None and connection_of(connection) is None:
                try:
                    connections.created(connection, origin, tracker)
                except Exception as error:
                    tracker.registry.failures.caught("httpcore.create", error)
            return connection

        return create_connection

    def _failures(self) -> Failures:
        assert self._surroundings is not None
        return self._surroundings.registry.failures

    def _pool_close(self, original: Any) -> Any:
        def close(self_: Any) -> Any:
            tracker = _tracker(self_)
            if tracker is not None:
                try:
                    for connection in tuple(self_._connections):
                        known = connection_of(connection)
                        if known is not None:
                            known.closing = "pool_closed"
                    tracker.discard("closed")
                except Exception as error:
                    tracker.registry.failures.caught("httpcore.pool_close", error)
            return original(self_)

        return close


# Single clients


def pools_of(client: Any) -> list[Any]:
    """The pools of an httpx or httpx2 client, of an SDK client that holds one, or the pool itself.

    Raises TypeError for anything else.
    """
    if hasattr(client, "_connections") and hasattr(client, "_requests"):
        return [client]
    holder = client
    for _ in range(3):
        if hasattr(holder, "_transport") and hasattr(holder, "_mounts"):
            transports = [holder._transport, *holder._mounts.values()]
            pools = [getattr(transport, "_pool", None) for transport in transports]
            found = [pool for pool in pools if hasattr(pool, "_connections")]
            if found:
                return found
        holder = getattr(holder, "_client", None) or getattr(holder, "client", None)
        if holder is None:
            break
    raise TypeError(
        f"can't instrument {type(client).__name__!r}: expected an httpx or httpx2 Client or "
        "AsyncClient (or an SDK client that holds one) whose transport is the default one, "
        "or a connection pool of httpcore or httpcore2"
    )


_owned: weakref.WeakSet[Any] = weakref.WeakSet()


def own(pool: Any, owner: Owner) -> None:
    """Track a pool under the user's name for it from its next request on."""
    setattr(pool, OWNER, owner)
    _restart(pool)
    _owned.add(pool)


def disown(pool: Any) -> None:
    """Track a pool no longer, whoever uses it."""
    setattr(pool, OWNER, EXCLUDED)
    _restart(pool)
    _owned.discard(pool)


def any_owned() -> bool:
    """Whether a client that the user handed in is still alive and instrumented."""
    return bool(len(_owned))


def _restart(pool: Any) -> None:
    tracker = getattr(pool, TRACKER, None)
    if tracker is not None:
        setattr(pool, TRACKER, None)
        tracker.discard("closed")


def _tracker(pool: Any) -> PoolTracker | None:
    tracker: PoolTracker | None = getattr(pool, TRACKER, None)
    return tracker if tracker is not None and tracker.open else None


def _probe(core: Any, pool: Any) -> tuple[bool, bool]:
    """Whether a pool's state can be read, and whether a connection's set-up can be timed.

    Neither is a method that could be looked up, so a pool is made for it. It opens no socket.
    """
    try:
        made = pool(max_connections=1)
        connection = made.create_connection(core.Origin(b"http", b"localhost", 80))
    except Exception:
        return False, False
    state = (
        all(
            hasattr(made, name)
            for name in (
                "_connections",
                "_requests",
                "_max_connections",
                "_max_keepalive_connections",
            )
        )
        and all(hasattr(connection, name) for name in ("_connection", "_origin", "__dict__"))
        and callable(getattr(connection, "is_idle", None))
        and callable(getattr(connection, "is_closed", None))
    )
    return state, hasattr(connection, "_network_backend")


def _has_close_state(http11: Any) -> bool:
    try:
        made = http11(origin=None, stream=None)
    except Exception:
        return False
    return all(hasattr(made, name) for name in ("_expire_at", "_h11_state", "_network_stream"))


def _module(name: str) -> ModuleType | None:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _is_wanted(library: str) -> bool:
    # Seams are told from instrument() on, so the core library is looked at as soon as somebody can
    # use it; httpx itself imports it only when the first client is built.
    return library in sys.modules or "any_llm" in sys.modules


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"


def _ignore(seams: Seams) -> None:
    pass
