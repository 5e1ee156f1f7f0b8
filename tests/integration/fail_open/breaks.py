"""Every break that is tried: the names, times the kinds that make sense for them."""

from __future__ import annotations

from collections.abc import Iterator

from . import releases, runtime, seen
from .discovery import LIBRARIES, replaced
from .trial import Break

CORE_METHODS = (
    "assign_to_connection",
    "wait_for_connection",
    "clear_connection",
    "create_connection",
    "handle_request",
    "handle_async_request",
    "_send_request_headers",
    "_response_closed",
    "_receive_stream_event",
)
METHODS: dict[str, tuple[str, ...]] = {
    "httpcore": CORE_METHODS,
    "httpcore2": CORE_METHODS,
    "aiohttp": (
        "_close",
        "_create_connection",
        "_release",
        "_wait",
        "_wait_for_available_connection",
    ),
    "urllib3": (
        "_fp_read",
        "_get_conn",
        "_handle_chunk",
        "_new_conn",
        "_new_pool",
        "_put_conn",
        "_tunnel",
        "_update_chunk_length",
    ),
    "grpc": ("_blocking", "_close", "_next", "_read", "_register_call"),
}
"""Methods that are replaced and have a name that the library uses for nothing else."""

CORE_ATTRIBUTES = (
    "_closed",
    "_connect_failed",
    "_connected",
    "_connection",
    "_connection_error",
    "_connection_terminated",
    "_connections",
    "_events",
    "_expire_at",
    "_h11_state",
    "_h2_state",
    "_keepalive_expiry",
    "_max_connections",
    "_max_keepalive_connections",
    "_max_streams",
    "_network_backend",
    "_network_stream",
    "_origin",
    "_pool_request",
    "_proxy_origin",
    "_remote_origin",
    "_requests",
    "_socket_options",
    "_write_exception",
)
CORE_PUBLIC = (
    "can_multiplex",
    "connection",
    "extensions",
    "get_extra_info",
    "headers",
    "host",
    "is_closed",
    "is_idle",
    "port",
    "read",
    "request",
    "scheme",
    "status",
    "url",
)
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "httpcore": CORE_ATTRIBUTES + CORE_PUBLIC,
    "httpcore2": CORE_ATTRIBUTES + CORE_PUBLIC,
    "aiohttp": (
        "_acquired",
        "_acquired_per_host",
        "_cancelled",
        "_closed",
        "_conns",
        "_exception",
        "_force_close",
        "_keepalive_timeout",
        "_limit",
        "_limit_per_host",
        "_payload",
        "_protocol",
        "_socket_factory",
        "_timer",
        "connect",
        "is_connected",
        "is_eof",
        "protocol",
        "proxy",
        "sock_read",
        "total",
        "transport",
        "upgraded",
        "url",
    ),
    "urllib3": (
        "ConnectionCls",
        "_connection",
        "_container",
        "_fp",
        "_h2_conn",
        "_original_response",
        "_pool",
        "_read",
        "block",
        "chunk_left",
        "conn_kw",
        "default_socket_options",
        "headers",
        "host",
        "pool",
        "pools",
        "port",
        "proxy",
        "scheme",
        "sock",
        "status",
        "timeout",
    ),
    "grpc": (
        "_call_state",
        "_channel",
        "_cython_call",
        "_managed_call",
        "_preparation",
        "_references",
        "_state",
        "add_callback",
        "channel",
        "code",
        "details",
    ),
}
"""What is read of the libraries' objects."""

_CORE_CLASSES = (
    "_async.connection_pool.AsyncConnectionPool",
    "_async.connection_pool.AsyncPoolRequest",
    "_async.connection_pool.PoolByteStream",
    "_async.http11.AsyncHTTP11Connection",
    "_async.http11.AsyncHTTP11UpgradeStream",
    "_async.http2.AsyncHTTP2Connection",
    "_sync.connection_pool.ConnectionPool",
    "_sync.connection_pool.PoolByteStream",
    "_sync.connection_pool.PoolRequest",
    "_sync.http11.HTTP11Connection",
    "_sync.http11.HTTP11UpgradeStream",
    "_sync.http2.HTTP2Connection",
)
CLASSES: dict[str, tuple[str, ...]] = {
    "httpcore": tuple(f"httpcore.{name}" for name in _CORE_CLASSES),
    "httpcore2": tuple(f"httpcore2.{name}" for name in _CORE_CLASSES),
    "aiohttp": ("aiohttp.client_proto.ResponseHandler", "aiohttp.helpers.TimerContext"),
    "urllib3": (
        "urllib3.connection.HTTPConnection",
        "urllib3.connectionpool.HTTPConnectionPool",
        "urllib3.poolmanager.PoolManager",
        "urllib3.response.HTTPResponse",
    ),
    "grpc": (
        "grpc._channel.Channel",
        "grpc._channel._ChannelCallState",
        "grpc._channel._MultiThreadedRendezvous",
        "grpc._channel._Rendezvous",
        "grpc._channel._SingleThreadedRendezvous",
        "grpc._channel._SingleThreadedUnaryStreamMultiCallable",
        "grpc._channel._StreamStreamMultiCallable",
        "grpc._channel._StreamUnaryMultiCallable",
        "grpc._channel._UnaryStreamMultiCallable",
        "grpc._channel._UnaryUnaryMultiCallable",
        "grpc._cython.cygrpc._AioCall",
        "grpc.aio._call.Call",
        "grpc.aio._call.UnaryUnaryCall",
        "grpc.aio._call._StreamResponseMixin",
        "grpc.aio._channel.Channel",
    ),
}
"""Classes that are looked for by their names, in modules that are private mostly."""


MODULES: dict[str, tuple[str, ...]] = {
    "httpcore": tuple(
        f"httpcore.{package}.{module}"
        for package in ("_async", "_sync")
        for module in ("connection_pool", "http11", "http2")
    ),
    "aiohttp": ("aiohttp.client_proto", "aiohttp.helpers"),
    "grpc": ("grpc._channel", "grpc._cython.cygrpc", "grpc.aio", "grpc.aio._call"),
}
"""Modules that are imported by their names."""

STANDARD = (
    Break("urllib3", "attribute", "concurrent:_max_workers", ""),
    Break("urllib3", "attribute", "concurrent:_work_queue", ""),
    Break("urllib3", "attribute", "threading:_args", ""),
)
"""What is read of the standard library's objects."""
FUNCTIONS = ("sys._getframe", "sys._current_frames")

RENAMED: dict[str, tuple[str, ...]] = {
    "httpcore": (
        "_events",
        "_keepalive_expiry",
        "_max_streams",
        "_proxy_origin",
        "_socket_options",
        "_write_exception",
    ),
    "httpcore2": (
        "_events",
        "_keepalive_expiry",
        "_max_streams",
        "_proxy_origin",
        "_socket_options",
        "_write_exception",
    ),
    "grpc": (
        "_SingleThreadedRendezvous",
        "_SingleThreadedUnaryStreamMultiCallable",
        "_StreamStreamMultiCallable",
        "_StreamUnaryMultiCallable",
        "_UnaryStreamMultiCallable",
        "_call_state",
        "_cython_call",
        "_state",
    ),
    "urllib3": ("_tunnel", "chunk_left"),
}
"""Names that no copy of a library lacks in ``tests/integration/rules/test_*seams.py``."""


def every() -> Iterator[Break]:
    """All breaks."""
    for library in LIBRARIES:
        for name in METHODS[library]:
            for how in releases.METHODS:
                yield Break(library, "method", name, how)
            if library.startswith("httpcore"):
                yield Break(library, "method", name, releases.ASYNC)
        yield Break(library, "method", "every class", releases.SLOTS)
        for name in ATTRIBUTES[library]:
            for how in seen.KINDS:
                yield Break(library, "attribute", name, how)
        for name in RENAMED.get(library, ()):
            yield Break(library, "method", name, releases.RENAMED)
        for name in MODULES.get(library, ()):
            for how in releases.MODULES:
                yield Break(library, "module", name, how)
        for name in CLASSES[library]:
            for how in seen.NAME_KINDS:
                yield Break(library, "class", name, how)
    for what in STANDARD:
        for how in seen.KINDS:
            yield Break(what.library, what.kind, what.name, how)
    for name in FUNCTIONS:
        for how in seen.FUNCTION_KINDS:
            yield Break("urllib3", "function", name, how)
            yield Break("aiohttp", "function", name, how)
    for found in replaced():
        for how in runtime.KINDS:
            yield Break(found.partition(".")[0].partition(":")[0], "runtime", found, how)


def some() -> list[Break]:
    """Those of every run: each method in one way, and some of the rest."""
    chosen: list[Break] = []
    ways: dict[tuple[str, str], list[Break]] = {}
    others: list[Break] = []
    for what in every():
        if what.kind == "method" and what.name in METHODS[what.library]:
            if what.library != "httpcore2":
                ways.setdefault((what.library, what.name), []).append(what)
        else:
            others.append(what)
    for place, found in enumerate(ways.values()):
        chosen.append(found[place % len(found)])
    return chosen + others[7 :: max(1, len(others) // 18)]
