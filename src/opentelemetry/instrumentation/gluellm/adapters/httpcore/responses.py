"""Responses of httpcore and httpcore2: reads, HTTP/2 streams, the release of the connection."""

from __future__ import annotations

import errno
import sys
import weakref
from typing import Any

from ...pool.lease import Lease, TrackedConnection
from ...pool.registry import PoolRegistry
from ...vocabulary import AWAITING_RESPONSE, READING, UNREAD, WEBSOCKET
from ..error_types import error_type
from ..marks import LEASE, connection_of
from ..signatures import fits

_SWITCHING_PROTOCOLS = 101
_CLOSED = "ClosedResourceError"
"""Raised by anyio and trio in a read whose stream is closed on this side."""
_TIMED = "_gluellm_timed_read"


def _timed(stream: Any, connection: TrackedConnection, *, is_async: bool) -> Any:
    """Make the replacement for the ``read`` of one network stream, which records reads of a body.

    It is set on the stream itself, so code that accesses the stream still gets the library's own
    object. The stream is held weakly: a reference cycle would leave the socket to the garbage
    collector.
    """
    own, reference = type(stream).read, weakref.ref(stream)

    def async_read(max_bytes: int, timeout: float | None = None) -> Any:
        pending = own(reference(), max_bytes, timeout)
        lease = connection.lease
        if lease is None or lease.phase != UNREAD or lease.ended_at:
            return pending
        return _read_body(lease, pending)

    def read(max_bytes: int, timeout: float | None = None) -> Any:
        lease = connection.lease
        if lease is None or lease.phase != UNREAD or lease.ended_at:
            return own(reference(), max_bytes, timeout)
        clock = lease.tracker.clock
        lease.enter(READING, clock())
        try:
            return own(reference(), max_bytes, timeout)
        except BaseException as error:
            _read_failed(lease, error)
            raise
        finally:
            lease.enter(UNREAD, clock())

    timed = async_read if is_async else read
    setattr(timed, _TIMED, True)
    return timed


async def _read_body(lease: Lease, pending: Any) -> Any:
    clock = lease.tracker.clock
    lease.enter(READING, clock())
    try:
        return await pending
    except BaseException as error:
        _read_failed(lease, error)
        raise
    finally:
        lease.enter(UNREAD, clock())


def _read_failed(lease: Lease, error: BaseException) -> None:
    # A WebSocket is always being read, so to end it on this side, a read is cancelled or fails.
    ended_here = not isinstance(error, Exception) or _closed_here(error)
    if lease.status != _SWITCHING_PROTOCOLS or not ended_here:
        lease.note_error(error_type(error))


_known_reads: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def reads_as_known(read: Any, is_async: bool) -> bool:
    """Whether the ``read`` of a class of network streams is compatible with its replacement.

    Called for each connection. The result is cached by function, which is held weakly.
    """
    found = _known_reads.get(read)
    if found is None:
        found = _known_reads[read] = fits(read, _read, is_async)
    return found


def _read(stream: Any, max_bytes: int, timeout: float | None = None) -> Any: ...


def time_reads(inner: Any, connection: TrackedConnection) -> bool:
    """Make an HTTP/1.1 connection record its reads of a body; return whether that works.

    On HTTP/2 one stream reads for all, so ``_receive_stream_event`` is hooked instead. An
    incompatible network stream is left alone: its bodies count as unread, and never as leaks.
    """
    stream = inner._network_stream
    present = getattr(stream, "read", None)
    is_async = hasattr(inner, "handle_async_request")
    own: Any = type(stream).read
    unpatched = getattr(present, "__func__", None) is own
    works = hasattr(present, _TIMED) or (unpatched and reads_as_known(own, is_async))
    if works:
        stream.read = _timed(stream, connection, is_async=is_async)
    return works


class HttpcoreResponseHooks:
    """Replacements for the methods that a response calls until it is closed."""

    def __init__(self, registry: PoolRegistry) -> None:
        self._registry = registry

    # The two replacements below run for every response, so they share no functions.

    def async_close(self, original: Any) -> Any:
        """Record that the response is closed: once, even if closing raises."""
        registry = self._registry

        async def close(stream: Any, lease: Lease, closing: Any) -> None:
            try:
                await closing
            finally:
                try:
                    lease.tracker.released(lease)
                    request = stream._pool_request.request
                    if request._gluellm_lease is lease:
                        # httpcore 1.0 leaves requests to the garbage collector; free the lease now.
                        request._gluellm_lease = None
                except Exception as error:
                    registry.failures.caught("httpcore.release", error)
                finally:
                    if not lease.ended_at:
                        lease.tracker.ensure_ended(lease)

        def aclose(self_: Any) -> Any:
            try:
                lease = self_._pool_request.request._gluellm_lease
                is_open = lease is not None and not self_._closed
            except Exception as error:
                registry.failures.caught("httpcore.release", error)
                is_open = False
            closing = original(self_)
            if is_open and lease.tracker.registry is registry:
                return close(self_, lease, closing)
            return closing

        return aclose

    def sync_close(self, original: Any) -> Any:
        """Sync variant of `async_close`."""
        registry = self._registry

        def close(self_: Any) -> None:
            try:
                request = self_._pool_request.request
                lease = request._gluellm_lease
                is_open = lease is not None and not self_._closed
            except Exception as error:
                registry.failures.caught("httpcore.release", error)
                is_open = False
            if not is_open or lease.tracker.registry is not registry:
                original(self_)
                return
            try:
                original(self_)
            finally:
                try:
                    lease.tracker.released(lease)
                    if request._gluellm_lease is lease:
                        request._gluellm_lease = None
                except Exception as error:
                    registry.failures.caught("httpcore.release", error)
                finally:
                    if not lease.ended_at:
                        lease.tracker.ensure_ended(lease)

        return close

    # HTTP/2

    def http2_sends(self, inner: Any, request: Any, stream_id: int) -> None:
        """Record that the request has its stream and is being sent."""
        lease = getattr(request, LEASE, None)
        connection = inner._gluellm_connection
        if lease is not None and connection is not None and lease.connection is connection:
            connection.streams[stream_id] = lease
            lease.sent_at = now = self._registry.clock()
            lease.enter(AWAITING_RESPONSE, now)

    def http2_response_closes(self, inner: Any, stream_id: int) -> None:
        """Record that the stream has ended."""
        connection = inner._gluellm_connection
        if connection is None:
            return
        lease = connection.streams.pop(stream_id, None)
        stream = inner._h2_state.streams.get(stream_id)
        is_open = stream is not None and not stream.closed
        if lease is not None and lease.answered_at:
            cause = sys.exc_info()[1]
            if cause is not None and not lease.error:
                lease.note_error(_broken_off_by(inner, cause, is_open=is_open))
                if is_open:
                    lease.note_cut(cause)
            lease.incomplete = is_open
            # Released before another request gets the stream's slot. The hook on the response runs
            # later, with other tasks in between.
            lease.tracker.released(lease)
        if is_open:
            # The library sends no RST_STREAM, so the peer keeps sending.
            connection.orphans[stream_id] = None

    def async_http2_read(self, original: Any) -> Any:
        """Record that a stream waits for its next event. One stream reads for all streams."""

        def receive_stream_event(self_: Any, request: Any, stream_id: int) -> Any:
            pending = original(self_, request, stream_id)
            lease = _stream_lease(self_, stream_id)
            return pending if lease is None else _read_body(lease, pending)

        return receive_stream_event

    def sync_http2_read(self, original: Any) -> Any:
        """Sync variant of `async_http2_read`."""
        clock = self._registry.clock

        def receive_stream_event(self_: Any, request: Any, stream_id: int) -> Any:
            lease = _stream_lease(self_, stream_id)
            if lease is None:
                return original(self_, request, stream_id)
            lease.enter(READING, clock())
            try:
                return original(self_, request, stream_id)
            except BaseException as error:
                _read_failed(lease, error)
                raise
            finally:
                lease.enter(UNREAD, clock())

        return receive_stream_event


def _broken_off_by(connection: Any, error: BaseException, *, is_open: bool) -> str | None:
    """``error.type`` of what ends a stream between two reads: a failed write or a cancellation.

    A reader of a body also writes acknowledgements, and that write may fail. The connection stores
    the exception, which distinguishes it from one that the application happens to handle.
    """
    interrupted = not isinstance(error, (Exception, GeneratorExit))
    if error is getattr(connection, "_write_exception", None) or (interrupted and is_open):
        return error_type(error)
    return None


def _stream_lease(connection: Any, stream_id: int) -> Lease | None:
    tracked = connection._gluellm_connection
    if tracked is None:
        return None
    lease: Lease | None = tracked.streams.get(stream_id)
    return lease if lease is not None and lease.phase == UNREAD and not lease.ended_at else None


def upgraded(switched: Any) -> None:
    """Record that a connection switches to WebSocket.

    The library builds a special network stream for such connections only, so the hook on it costs
    other connections nothing.
    """
    connection: TrackedConnection | None = connection_of(switched._stream)
    if connection is not None and _asked_for_websocket(connection):
        connection.switch(WEBSOCKET)


def _asked_for_websocket(connection: TrackedConnection) -> bool:
    """Whether the request asked for WebSocket. Servers switch only on request (RFC 9110, 7.8)."""
    lease = connection.lease
    pool = connection.tracker.live_pool()
    if lease is None or pool is None:
        return False
    for pool_request in tuple(pool._requests):
        if getattr(pool_request.request, LEASE) is lease:
            return any(
                name.lower() == b"upgrade" and value.lower() == b"websocket"
                for name, value in pool_request.request.headers
            )
    return False


def _closed_here(error: BaseException) -> bool:
    """Whether a read failed because this side closed the stream during the read."""
    cause = error.__cause__ or error
    if type(cause).__name__ == _CLOSED:
        return True
    return isinstance(cause, OSError) and cause.errno == errno.EBADF
