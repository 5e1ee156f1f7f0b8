"""Responses of aiohttp: the head, the reads of the body, the release of the connection."""

from __future__ import annotations

import sys
from typing import Any

from ...concurrency import snapshot_of
from ...failures import raise_on
from ...pool.lease import Lease, TrackedConnection
from ...vocabulary import READING, UNREAD, WEBSOCKET
from ..marks import CONNECTION
from ..scope import Scope, note_content_type
from . import connections, failures

_SWITCHING_PROTOCOLS = 101


class AiohttpResponseHooks:
    """Replacements for the methods that a response calls until its connection is released."""

    def __init__(self, scope: Scope) -> None:
        self._registry = scope.registry
        self._note_streaming = scope.note_streaming

    def head(self, original: Any) -> Any:
        """Record the response's head.

        This hooks the protocol's ``read``, since ``ClientResponse.start`` would be too late: if a
        small body has arrived with the head, ``start`` itself releases the connection.
        """
        registry = self._registry
        note_streaming = self._note_streaming

        async def answered(lease: Lease, pending: Any) -> Any:
            item = await pending
            try:
                message = item[0]
                status = message.code
                if status >= 200 or status == _SWITCHING_PROTOCOLS:
                    call = lease.call
                    if note_streaming or (call is not None and call.single):
                        note_content_type(lease, message.headers.get("Content-Type", ""))
                    lease.tracker.answered(lease, status)
                    if (
                        status == _SWITCHING_PROTOCOLS
                        and lease.connection is not None
                        and message.headers.get("Upgrade", "").lower() == WEBSOCKET
                    ):
                        lease.connection.switch(WEBSOCKET)
            except Exception as error:
                registry.failures.caught("aiohttp.answered", error)
            return item

        def read(self_: Any) -> Any:
            record = self_._gluellm_connection
            if record is not None:
                lease = record.lease
                if (
                    lease is not None
                    and not lease.answered_at
                    and not lease.ended_at
                    and record.tracker.registry is registry
                ):
                    return answered(lease, original(self_))
            return original(self_)

        return read

    def body(self, original: Any) -> Any:
        """Record a read of the body that has to wait for data."""

        def _wait(self_: Any, func_name: str) -> Any:
            pending = original(self_, func_name)
            try:
                protocol = self_._protocol
                # aiohttp's server reads requests in the same way; its protocols have no record.
                record = getattr(protocol, CONNECTION, None)
                if record is None:
                    return pending
                lease = record.lease
                if lease is None or lease.phase != UNREAD or lease.ended_at:
                    return pending
            except Exception as error:
                self._registry.failures.caught("aiohttp.read", error)
                return pending
            return _read_body(lease, protocol, pending)

        return _wait

    def release(self, original: Any) -> Any:
        """Record that the connection is released, to be kept or closed.

        The finalizer rule (``pool/lease.py``) applies.
        """
        registry = self._registry

        # The keyword is explicit: passing on ``**kwargs`` would be the most expensive step here.
        def _release(self_: Any, key: Any, protocol: Any, *, should_close: bool = False) -> Any:
            try:
                record = protocol._gluellm_connection
            except Exception as error:  # a third party's protocol
                raise_on(error)
                record = None
            if record is None or record.lease is None or record.tracker.registry is not registry:
                return original(self_, key, protocol, should_close=should_close)
            lease = record.lease
            try:
                if not lease.ended_at:
                    if not lease.answered_at:
                        _unanswered(lease, protocol)
                    else:
                        if lease.error is not None or protocol._exception is not None:
                            lease.note_error(_outcome(record, lease, protocol))
                        elif (
                            sys.exc_info()[1] is not None
                            and not record.closed
                            and _is_cancelled(protocol)
                        ):
                            lease.note_error("cancelled")
                        if not connections.is_complete(protocol):
                            lease.incomplete = True
                        lease.tracker.released(lease)
            except Exception as error:
                registry.failures.caught("aiohttp.release", error)
            try:
                return original(self_, key, protocol, should_close=should_close)
            finally:
                record.lease = None

        return _release

    def closes(self, protocol: Any) -> None:
        """Record that a connection is closed, by either side and for any reason."""
        record = protocol._gluellm_connection
        if record is not None and not record.closed and record.tracker.registry is self._registry:
            connections.closed(record, connections.close_reason_of(protocol, record))

    def pool_close(self, original: Any) -> Any:
        """Record that the pool is closed, by its user or by its finalizer."""
        registry = self._registry

        def _close(self_: Any, **kwargs: Any) -> Any:
            tracker = self_._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not registry:
                return original(self_, **kwargs)
            found: tuple[TrackedConnection, ...] = ()
            try:
                collected = connections.in_finalizer()
                found = snapshot_of(tracker.connections.keys)
                for record in found:
                    record.closing = "garbage_collected" if collected else "pool_closed"
                tracker.discard("garbage_collected" if collected else "closed")
            except Exception as error:
                registry.failures.caught("aiohttp.pool_close", error)
            try:
                return original(self_, **kwargs)
            finally:
                # A pool whose loop is closed already does not close its connections.
                for record in found:
                    if record.established_at and not record.closed:
                        connections.closed(record, record.closing or "pool_closed")

        return _close


def _unanswered(lease: Lease, protocol: Any) -> None:
    """End a lease whose connection is released before a head arrived.

    The reason is the exception that is being handled, if there is one.
    """
    finalizing = connections.in_finalizer()
    error = None if finalizing else sys.exc_info()[1]
    if error is None and not finalizing and protocol._exception is None:
        lease.tracker.released(lease)  # no request was sent on the connection
        return
    in_finalizer = finalizing or isinstance(error, GeneratorExit)
    lease.tracker.failed(lease, failures.while_sending(protocol, error), in_finalizer=in_finalizer)


def _is_cancelled(protocol: Any) -> bool:
    """Whether a task that is being cancelled closes a response before its end."""
    error = sys.exc_info()[1]
    if error is None or isinstance(error, (Exception, GeneratorExit)):
        return False
    return not connections.is_complete(protocol) and not connections.in_finalizer()


def _outcome(record: TrackedConnection, lease: Lease, protocol: Any) -> str | None:
    payload = None if lease.status == _SWITCHING_PROTOCOLS else protocol._payload
    if payload is not None and payload.is_eof():
        return None  # a read failed or was cancelled, but the rest of the body has arrived
    if lease.error is not None or record.closed:
        return lease.error  # closed with its pool: a later exception is no failure
    return failures.of_connection(protocol)


async def _read_body(lease: Lease, protocol: Any, pending: Any) -> Any:
    clock = lease.tracker.clock
    lease.enter(READING, clock())
    try:
        found = await pending
        if lease.error is not None:
            lease.note_error(None)  # an earlier read failed or was cancelled; the response goes on
        return found
    except BaseException as error:
        lease.note_error(failures.while_reading(protocol, error))
        raise
    finally:
        lease.enter(UNREAD, clock())
