"""Responses of urllib3: the head, reads of the body, closing.

The socket is read inside http.client's response, so a read is recorded where urllib3 asks that for
bytes. With ``preload_content`` the body is read in the constructor of urllib3's response, before
any other code has the object.
"""

from __future__ import annotations

import inspect
import sys
from contextvars import ContextVar
from typing import Any, Final

from ...pool.lease import Lease
from ...vocabulary import READING, UNREAD
from ..marks import LEASE
from ..scope import Scope, note_content_type
from .failures import failed, failure_of

IN_HEAD: Final[ContextVar[Lease | None]] = ContextVar("gluellm_urllib3_head", default=None)
"""The lease whose response head the running code is receiving."""


class Urllib3ResponseHooks:
    """Replacements for the methods that a response calls until it is closed."""

    def __init__(self, scope: Scope) -> None:
        self._registry = scope.registry
        self._note_streaming = scope.note_streaming

    def getresponse(self, original: Any) -> Any:
        """Record the response's head, which a connection waits for."""
        registry = self._registry
        answered = self._answered

        # No further parameters: urllib3 1.26 first passes an argument of Python 2, and expects a
        # TypeError.
        def getresponse(self_: Any) -> Any:
            record = self_._gluellm_connection
            lease = None if record is None else record.lease
            if lease is None or lease.ended_at or lease.tracker.registry is not registry:
                return original(self_)
            token = IN_HEAD.set(lease)
            try:
                response = original(self_)
            except BaseException as error:
                failed(lease, error, timeout="read_timeout")
                raise
            finally:
                IN_HEAD.reset(token)
            try:
                response._gluellm_lease = lease
                if not lease.answered_at:
                    answered(lease, response)
            except Exception as error:
                registry.failures.caught("urllib3.answered", error)
            return response

        return getresponse

    def _answered(self, lease: Lease, response: Any) -> None:
        """Record a response's head."""
        if self._note_streaming or (lease.call is not None and lease.call.single):
            note_content_type(lease, response.headers.get("content-type") or "")
        lease.tracker.answered(lease, int(response.status))

    def sleep_for_retry(self, original: Any) -> Any:
        """Record the time for which urllib3 sleeps because a response has ``Retry-After``."""
        registry = self._registry

        def sleep_for_retry(self_: Any, response: Any = None) -> Any:
            lease = getattr(response, LEASE, None)
            if lease is None:
                lease = getattr(getattr(response, "_original_response", None), LEASE, None)
            # Without the header, it does not sleep.
            if lease and lease.tracker.registry is registry and self_.get_retry_after(response):
                with lease.origin.pause(registry.clock):
                    return original(self_, response)
            return original(self_, response)

        return sleep_for_retry

    def _lease_of(self, response: Any) -> Lease | None:
        """The lease of a response that has none stored yet. Stores it, so this runs only once.

        Raises only what a signal handler raises.
        """
        lease: Lease | None = None
        try:
            if response._pool is None and response._connection is None:
                # Still in its constructor. Any other response, in a finalizer for example, has a
                # pool.
                lease = IN_HEAD.get()
                if lease is not None and not lease.answered_at:
                    self._answered(lease, response)
            if lease is None:
                # urllib3 1.26 builds its response from the connection's, which has the lease.
                lease = getattr(getattr(response, "_original_response", None), LEASE, None)
            response._gluellm_lease = lease or False
        except Exception as error:
            self._registry.failures.caught("urllib3.read", error)
            return None
        return lease

    def read(self, original: Any) -> Any:
        """Record a read of the body."""
        registry = self._registry
        clock = registry.clock
        lease_of = self._lease_of
        parameters = inspect.signature(original).parameters.values()
        # Since urllib3 2.1.
        has_read1 = any(one.name == "read1" or one.kind is one.VAR_KEYWORD for one in parameters)

        # Runs for every chunk: ``*args`` and ``**kwargs`` would cost more than all the rest.
        def _fp_read(self_: Any, amt: int | None = None, *, read1: bool = False) -> Any:
            lease = self_._gluellm_lease
            if lease is None:
                lease = lease_of(self_)
            if not lease or lease.ended_at or lease.tracker.registry is not registry:
                return original(self_, amt, read1=read1) if has_read1 else original(self_, amt)
            lease.enter(READING, clock())
            try:
                data = original(self_, amt, read1=read1) if has_read1 else original(self_, amt)
                lease.enter(UNREAD, clock())
            except BaseException as error:
                _note(lease, error)
                raise
            if lease.connection.closed:
                lease.tracker.released(lease)  # another thread closed it during the read
            return data

        if has_read1:
            return _fp_read

        def _fp_read_all(self_: Any, amt: int | None = None) -> Any:
            return _fp_read(self_, amt)

        return _fp_read_all

    def chunk_length(self, original: Any) -> Any:
        """Record a read of a chunk's size. The chunk itself is read right after that."""
        registry = self._registry
        clock = registry.clock
        lease_of = self._lease_of

        def _update_chunk_length(self_: Any) -> Any:
            if self_.chunk_left is not None:
                return original(self_)  # the chunk has begun
            lease = self_._gluellm_lease
            if lease is None:
                lease = lease_of(self_)
            if not lease or lease.ended_at or lease.tracker.registry is not registry:
                return original(self_)
            lease.enter(READING, clock())
            try:
                return original(self_)
            except BaseException as error:
                _note(lease, error)
                raise

        return _update_chunk_length

    def chunk(self, original: Any) -> Any:
        """Record a read of a chunk."""
        registry = self._registry
        clock = registry.clock

        def _handle_chunk(self_: Any, amt: Any) -> Any:
            lease = self_._gluellm_lease
            if not lease or lease.ended_at or lease.tracker.registry is not registry:
                return original(self_, amt)
            if lease.phase != READING:
                lease.enter(READING, clock())
            try:
                data = original(self_, amt)
                lease.enter(UNREAD, clock())
            except BaseException as error:
                _note(lease, error)
                raise
            if lease.connection.closed:
                lease.tracker.released(lease)
            return data

        return _handle_chunk

    def close(self, original: Any) -> Any:
        """Record that a response and its connection are closed, read to the end or not."""
        registry = self._registry

        def close(self_: Any) -> Any:
            lease = self_._gluellm_lease
            if lease is None:
                lease = getattr(getattr(self_, "_original_response", None), LEASE, None)
            if not lease or lease.ended_at or lease.tracker.registry is not registry:
                return original(self_)
            ours = lease.phase != READING  # while reading, the failed read closes the response
            if not ours:
                # Or the read was interrupted after a chunk's size: before the chunk itself, or
                # after the size 0 that ends the body.
                cut_off = lease.connection is not None and lease.connection.closed
                ours = cut_off or getattr(self_, "chunk_left", None) == 0
                if cut_off:
                    lease.note_error(lease.error or "cancelled")
            if ours:
                try:
                    _closing(self_, lease)
                except Exception as error:
                    registry.failures.caught("urllib3.response_close", error)
            try:
                return original(self_)
            finally:
                if ours:
                    _closed(lease)

        return close


def _note(lease: Lease, error: BaseException) -> None:
    # Recorded at once: the library closes the connection and frees its place before the caller
    # gets the exception.
    if lease.error is None:
        lease.note_error(failure_of(lease, error))
    lease.enter(UNREAD, lease.tracker.clock())
    record = lease.connection
    if record is None or record.closed:
        lease.tracker.released(lease)
    else:
        record.closing = "cancelled" if lease.error == "cancelled" else "error"


def _closing(response: Any, lease: Lease) -> None:
    record = lease.connection
    if record is None:
        return
    original = response._original_response
    # A response without a body is complete without a read.
    if original is not None and not original.isclosed() and original.length != 0:
        record.closing = "response_incomplete"
        lease.note_cut(sys.exc_info()[1])
    elif record.closing is None:
        record.closing = "connection_close"


def _closed(lease: Lease) -> None:
    # If this was the last response on its connection, the connection is closed already.
    record = lease.connection
    lease.tracker.released(lease)
    if record is not None and record.closing is not None:
        record.close(record.closing)
