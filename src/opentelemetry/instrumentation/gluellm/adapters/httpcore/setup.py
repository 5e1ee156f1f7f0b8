"""Times of a connection's set-up, taken through the library's public network interface."""

from __future__ import annotations

from typing import Any

from ...pool.tracker import TrackedConnection


def time_setup(connection: Any, record: TrackedConnection, *, secure: bool) -> None:
    """Let a new connection connect through a backend that notes when it did so.

    The backend is a parameter of every connection; a proxy's connection holds one to the proxy.
    """
    holder = connection
    if not hasattr(holder, "_network_backend"):
        holder = connection._connection
    backend = holder._network_backend
    timed = _AsyncBackend if hasattr(connection, "handle_async_request") else _SyncBackend
    holder._network_backend = timed(backend, record, secure)


class _Timed:
    __slots__ = ("_record", "_secure", "_target")

    def __init__(self, target: Any, record: TrackedConnection, secure: bool) -> None:
        self._target = target
        self._record = record
        self._secure = secure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def _connecting(self, host: str | None, port: int | None) -> None:
        record = self._record
        now = record.tracker.clock()
        # A retried connect is one set-up: it began with the first try.
        record.connect_started_at = record.connect_started_at or now
        record.connect_ended_at = 0
        if host is not None and port is not None:
            record.peer = (host, port)

    def _connected(self) -> None:
        self._record.connect_ended_at = self._record.tracker.clock()

    def _securing(self) -> None:
        self._record.tls_started_at = self._record.tracker.clock()

    def _secured(self, stream: Any) -> Any:
        record = self._record
        registry = record.tracker.registry
        record.tls_ended_at = record.tracker.clock()
        try:
            tls = stream.get_extra_info("ssl_object")
            record.tls_version = tls.version() if tls is not None else None
        except Exception as error:
            registry.failures.caught("httpcore.tls_version", error)
        # That was the handshake with an https proxy; the one through the tunnel is yet to come.
        return type(self)(stream, record, True) if record.proxy_hops else stream


class _AsyncBackend(_Timed):
    __slots__ = ()

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        self._connecting(kwargs.get("host"), kwargs.get("port"))
        stream = await self._target.connect_tcp(*args, **kwargs)
        self._connected()
        return _AsyncStream(stream, self._record, True) if self._secure else stream

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Any:
        self._connecting(None, None)
        stream = await self._target.connect_unix_socket(*args, **kwargs)
        self._connected()
        return _AsyncStream(stream, self._record, True) if self._secure else stream


class _SyncBackend(_Timed):
    __slots__ = ()

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        self._connecting(kwargs.get("host"), kwargs.get("port"))
        stream = self._target.connect_tcp(*args, **kwargs)
        self._connected()
        return _SyncStream(stream, self._record, True) if self._secure else stream

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Any:
        self._connecting(None, None)
        stream = self._target.connect_unix_socket(*args, **kwargs)
        self._connected()
        return _SyncStream(stream, self._record, True) if self._secure else stream


# A stream is wrapped only until its handshake: what start_tls hands back is the library's own.


class _AsyncStream(_Timed):
    __slots__ = ()

    async def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        self._securing()
        stream = await self._target.start_tls(*args, **kwargs)
        return self._secured(stream)


class _SyncStream(_Timed):
    __slots__ = ()

    def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        self._securing()
        stream = self._target.start_tls(*args, **kwargs)
        return self._secured(stream)
