"""Every break that is tried: the names, times the kinds that make sense for them."""

from __future__ import annotations

from collections.abc import Iterator

from . import releases, runtime, seen
from .discovery import LIBRARIES, replaced
from .trial import Break


def _names(core: str = "", aiohttp: str = "", urllib3: str = "", grpc: str = "") -> dict[str, str]:
    """By library; httpcore2 is a copy of httpcore."""
    return {
        "httpcore": core,
        "httpcore2": core,
        "aiohttp": aiohttp,
        "urllib3": urllib3,
        "grpc": grpc,
    }


def _lists(**names: str) -> dict[str, list[str]]:
    return {library: words.split() for library, words in _names(**names).items()}


METHODS = _lists(
    core="""assign_to_connection wait_for_connection clear_connection create_connection
        handle_request handle_async_request _send_request_headers _response_closed
        _receive_stream_event""",
    aiohttp="_close _create_connection _release _wait _wait_for_available_connection",
    urllib3="""_fp_read _get_conn _handle_chunk _new_conn _new_pool _put_conn _tunnel
        _update_chunk_length""",
    grpc="_blocking _close _next _read _register_call",
)
"""Methods that are replaced and have a name that the library uses for nothing else."""

ATTRIBUTES = _lists(
    core="""_closed _connect_failed _connected _connection _connection_error
        _connection_terminated _connections _events _expire_at _h11_state _h2_state
        _keepalive_expiry _max_connections _max_keepalive_connections _max_streams
        _network_backend _network_stream _origin _pool_request _proxy_origin _remote_origin
        _requests _socket_options _write_exception can_multiplex connection extensions
        get_extra_info headers host is_closed is_idle port read request scheme status url""",
    aiohttp="""_acquired _acquired_per_host _cancelled _closed _conns _exception _force_close
        _keepalive_timeout _limit _limit_per_host _payload _protocol _socket_factory _timer
        connect is_connected is_eof protocol proxy sock_read total transport upgraded url""",
    urllib3="""ConnectionCls _connection _container _fp _h2_conn _original_response _pool
        _read block chunk_left conn_kw default_socket_options headers host pool pools port proxy
        scheme sock status timeout""",
    grpc="""_call_state _channel _cython_call _managed_call _preparation _references _state
        add_callback channel code details""",
)
"""What is read of the libraries' objects."""

CLASSES = {
    library: [f"{library}.{name}" for name in names]
    for library, names in _lists(
        core="""_async.connection_pool.AsyncConnectionPool
            _async.connection_pool.AsyncPoolRequest _async.connection_pool.PoolByteStream
            _async.http11.AsyncHTTP11Connection _async.http11.AsyncHTTP11UpgradeStream
            _async.http2.AsyncHTTP2Connection _sync.connection_pool.ConnectionPool
            _sync.connection_pool.PoolByteStream _sync.connection_pool.PoolRequest
            _sync.http11.HTTP11Connection _sync.http11.HTTP11UpgradeStream
            _sync.http2.HTTP2Connection""",
        aiohttp="client_proto.ResponseHandler helpers.TimerContext",
        urllib3="""connection.HTTPConnection connectionpool.HTTPConnectionPool
            poolmanager.PoolManager response.HTTPResponse""",
        grpc="""_channel.Channel _channel._ChannelCallState _channel._MultiThreadedRendezvous
            _channel._Rendezvous _channel._SingleThreadedRendezvous
            _channel._SingleThreadedUnaryStreamMultiCallable _channel._StreamStreamMultiCallable
            _channel._StreamUnaryMultiCallable _channel._UnaryStreamMultiCallable
            _channel._UnaryUnaryMultiCallable _cython.cygrpc._AioCall aio._call.Call
            aio._call.UnaryUnaryCall aio._call._StreamResponseMixin aio._channel.Channel""",
    ).items()
}
"""Classes that are found by their names, in modules that are private mostly."""

MODULES = {
    "httpcore": [
        f"httpcore.{name}"
        for name in """_async.connection_pool _async.http11 _async.http2 _sync.connection_pool
            _sync.http11 _sync.http2""".split()
    ],
    "aiohttp": ["aiohttp.client_proto", "aiohttp.helpers"],
    "grpc": ["grpc._channel", "grpc._cython.cygrpc", "grpc.aio", "grpc.aio._call"],
}
"""Modules that are imported by their names."""

STANDARD = (
    Break("urllib3", "attribute", "concurrent:_max_workers", ""),
    Break("urllib3", "attribute", "concurrent:_work_queue", ""),
    Break("urllib3", "attribute", "threading:_args", ""),
)
"""What is read of the standard library's objects."""
FUNCTIONS = ("sys._getframe", "sys._current_frames")

_CORE_HOOKS = {
    "assign_to_connection": "acquire",
    "wait_for_connection": "wait",
    "clear_connection": "requeue",
    "PoolByteStream": "release",
    "PoolRequest": "acquire wait requeue",
    "_receive_stream_event _response_closed": "http2",
    "_send_request_headers": "accept http2",
    "ForwardHTTPConnection": "accept",
    "_network_backend": "connection_setup",
    "_connections _max_connections _max_keepalive_connections _connection _origin": "state request",
}
_HOOKS: dict[str, dict[str, str]] = {
    "httpcore": _CORE_HOOKS,
    "httpcore2": _CORE_HOOKS,
    "aiohttp": {
        "ResponseHandler": """close_reason connection_close connection_setup read release request
            response""",
        "_acquired _closed _conns _force_close _keepalive_timeout _limit _limit_per_host": (
            "state request"
        ),
        "_cancelled _timer": "total_timeout",
        "_close": "pool_close",
        "_create_connection": "connection_setup",
        "_exception _release": "release request",
        "_payload": "close_reason connection_close",
        "_protocol _wait": "read",
        "_wait_for_available_connection": "wait",
    },
    "urllib3": {
        "_get_conn": "acquire",
        "_put_conn": "acquire release",
        "_new_pool": "pool_owner",
        "_container": "pool_close",
        "_fp_read _update_chunk_length _handle_chunk": "read",
        "_new_conn": "connection_tls",
        "_original_response _connection _pool": "read response_close",
    },
    "grpc": {
        "_ChannelCallState _UnaryUnaryMultiCallable _blocking": "sync_request pool_owner",
        "_MultiThreadedRendezvous _StreamResponseMixin": "head read",
        "_Rendezvous": "sync_release",
        "_close": "pool_close",
        "_next _read": "read",
        "_preparation": "head",
        "_register_call": "earlier_channels",
    },
}
RENAMED: dict[str, dict[str, set[str]]] = {
    library: {name: set(off.split()) for names, off in hooks.items() for name in names.split()}
    for library, hooks in _HOOKS.items()
}
"""Names that hooks rest on, and the hooks that are off where a release renames one."""
UNUSED = {
    library: names
    for library, names in _lists(
        aiohttp="""_acquired_per_host _available_connections _cleanup _connection _factory _get
            _loop _release_acquired _release_waiter _should_close _socket_factory
            _TransportPlaceholder _upgraded _waiters""",
        grpc="""_active_calls _connectivity_state _fetch_stream_responses _invoke _managed_call
            _python_channel _references _send_unary_request""",
    ).items()
    if names
}
"""Names that nothing rests on."""
SMALLER = {
    library: names
    for library, names in _lists(
        core="""_assign_requests_to_connections _closed _connect_failed _connected
            _connection_error _connection_terminated _events _expire_at _h11_state _h2_state
            _keepalive_expiry _max_streams _network_stream _pool_request _proxy_origin
            _remote_origin _requests _socket_options _write_exception is_queued""",
        urllib3="""_close_pool_connections _error_catcher _fp _h2_conn _read _response_options
            _tunnel chunk_left""",
        grpc="""_SingleThreadedRendezvous _SingleThreadedUnaryStreamMultiCallable
            _StreamStreamMultiCallable _StreamUnaryMultiCallable _UnaryStreamMultiCallable
            _call_state _cython_call _state""",
    ).items()
    if names
}
"""Names that something smaller than a hook rests on."""


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
        names = [*RENAMED[library], *UNUSED.get(library, ()), *SMALLER.get(library, ())]
        for name in names:
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
    ways: dict[tuple[str, str], list[Break]] = {}
    others: list[Break] = []
    for what in every():
        if what.how == releases.RENAMED:
            continue
        if what.kind == "method" and what.name in METHODS[what.library]:
            if what.library != "httpcore2":
                ways.setdefault((what.library, what.name), []).append(what)
        else:
            others.append(what)
    chosen = [found[place % len(found)] for place, found in enumerate(ways.values())]
    return chosen + others[7 :: max(1, len(others) // 10)]
