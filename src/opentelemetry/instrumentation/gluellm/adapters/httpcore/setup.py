"""Times of a connection's set-up, measured through the library's public network interface."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, ClassVar

from ...pool.lease import TrackedConnection
from ...pool.ledger import is_host
from ..marks import CONNECTION


def time_setup(connection: Any, record: TrackedConnection, *, secure: bool) -> None:
    """Make a new connection connect through a backend that records the times.

    Every connection takes a backend as a parameter. A connection through a proxy holds an inner
    connection to the proxy, which has the backend.
    """
    holder = connection
    if not hasattr(holder, "_network_backend"):
        holder = connection._connection
    proxy = getattr(connection, "_proxy_origin", None)
    handshakes = int(secure) + int(proxy is not None and proxy.scheme == b"https")
    timed = _AsyncBackend if hasattr(connection, "handle_async_request") else _SyncBackend
    backend = holder._network_backend
    if not callable(getattr(backend, "connect_tcp", None)):
        raise TypeError("no network backend")
    holder._network_backend = timed(backend, record, handshakes)


class _Timed:
    __slots__ = ("_handshakes", "_record", "_target")
    _stream: ClassVar[type[_Timed]]

    def __init__(self, target: Any, record: TrackedConnection, handshakes: int) -> None:
        self._target = target
        self._record = record
        self._handshakes = handshakes
        """Number of TLS handshakes still to come: with a proxy, with the origin."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target, name)

    def _connecting(self, host: str | None, port: int | None) -> None:
        record = self._record
        now = record.tracker.clock()
        # Retries belong to one set-up, which starts with the first attempt.
        record.connect_started_at = record.connect_started_at or now
        record.connect_ended_at = 0
        if record.leases:
            record.activate(now)
        if host is not None and port is not None and is_host(host.lower()):
            record.peer = (host, port)

    @contextlib.contextmanager
    def _giving_up(self) -> Iterator[None]:
        # The pool gives the place to the next request before the failing request gets its error.
        try:
            yield
        except BaseException:
            self._record.deactivate()
            raise

    def _connected(self, stream: Any) -> Any:
        self._record.connect_ended_at = self._record.tracker.clock()
        return self._handed_on(stream, self._handshakes)

    def _handed_on(self, stream: Any, handshakes: int) -> Any:
        if handshakes > 0:
            return self._stream(stream, self._record, handshakes)
        # The protocol connection that is built on the stream finds its record there.
        with contextlib.suppress(AttributeError):
            setattr(stream, CONNECTION, self._record)
        return stream

    def _securing(self) -> None:
        self._record.tls_started_at = self._record.tracker.clock()

    def _secured(self, stream: Any) -> Any:
        record = self._record
        record.tls_ended_at = record.tracker.clock()
        try:
            tls = stream.get_extra_info("ssl_object")
            # The ssl_object of httpcore's MockBackend has no version().
            version = getattr(tls, "version", None)
            record.tls_version = version() if callable(version) else None
        except Exception as error:
            record.tracker.failures.caught("httpcore.tls_version", error)
        return self._handed_on(stream, self._handshakes - 1)


class _AsyncBackend(_Timed):
    __slots__ = ()

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        self._connecting(kwargs.get("host"), kwargs.get("port"))
        with self._giving_up():
            stream = await self._target.connect_tcp(*args, **kwargs)
        return self._connected(stream)

    async def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Any:
        self._connecting(None, None)
        with self._giving_up():
            stream = await self._target.connect_unix_socket(*args, **kwargs)
        return self._connected(stream)


class _SyncBackend(_Timed):
    __slots__ = ()

    def connect_tcp(self, *args: Any, **kwargs: Any) -> Any:
        self._connecting(kwargs.get("host"), kwargs.get("port"))
        with self._giving_up():
            stream = self._target.connect_tcp(*args, **kwargs)
        return self._connected(stream)

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> Any:
        self._connecting(None, None)
        with self._giving_up():
            stream = self._target.connect_unix_socket(*args, **kwargs)
        return self._connected(stream)


# Streams are wrapped only until the last handshake, whose start_tls returns the library's stream.


class _AsyncStream(_Timed):
    __slots__ = ()

    async def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        self._securing()
        with self._giving_up():
            stream = await self._target.start_tls(*args, **kwargs)
        return self._secured(stream)


class _SyncStream(_Timed):
    __slots__ = ()

    def start_tls(self, *args: Any, **kwargs: Any) -> Any:
        self._securing()
        with self._giving_up():
            stream = self._target.start_tls(*args, **kwargs)
        return self._secured(stream)


_AsyncBackend._stream = _AsyncStream._stream = _AsyncStream
_SyncBackend._stream = _SyncStream._stream = _SyncStream
