"""A request's way through a pool of httpcore or httpcore2, sync and async.

Each public method of RequestHooks makes the replacement for one method of the library. The same
replacement serves sync and async pools, unless it has work to do *after* an await. Replacements are
on the path of every request, so look-ups and calls are kept to a minimum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...pool.connection import TrackedConnection
from ...pool.lease import Lease
from ...pool.ledger import OTHER
from ...pool.registry import running_loop
from ...pool.tracker import PoolTracker
from ..admission import Admission
from ..error_types import error_type
from . import connections
from .marks import CONNECTION, FORWARDED, LEASE, lease_of


class RequestHooks:
    """Replacements for the methods that a request calls until its response's head."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._surroundings = admission.surroundings
        self.registry = self._registry = admission.registry
        self.release_logged = True
        """Whether the hook that records the closing of responses works."""

    # The owner of a pool

    def pool_init(self, original: Any) -> Any:
        """Claim a new pool for the any-llm call or the SDK that builds it."""
        claim = self._admission.claim

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            claim(self_)

        return __init__

    def _enter(self, pool: Any, request: Any) -> PoolTracker | None:
        """The tracker for a pool that has none yet; None if the pool is not in scope."""
        try:
            timeouts = request.extensions.get("timeout") or {}
            host = request.url.host.decode("ascii", "replace")
            return self._admission.enter(pool, host, timeouts.get("read"))
        except Exception as error:
            self._registry.failures.caught("httpcore.track", error)
            return None

    # One request

    def _begin(self) -> Callable[[PoolTracker, Any], Lease | None]:
        current_call = self._surroundings.current_call
        failures = self._registry.failures

        def begin(tracker: PoolTracker, request: Any) -> Lease | None:
            try:
                before = request._gluellm_lease
                call = current_call()
                if call is not None and call.ended:
                    call = None
                url = request.url
                request._gluellm_lease = lease = tracker.begin(url.host, url.port, url.scheme, call)
                if before is not None and not before.ended:
                    lease.previous = before
            except Exception as error:
                failures.caught("httpcore.begin", error)
                return None
            return lease

        return begin

    def _failed(self, lease: Lease, error: BaseException) -> None:
        try:
            if type(error).__name__ == "UnsupportedProtocol":
                lease.tracker.discard_lease(lease)
                return
            in_finalizer = isinstance(error, GeneratorExit)
            kind = error_type(error)
            if kind == "pool_timeout":
                lease.tracker.timed_out(lease, error)
            lease.tracker.failed(lease, kind, in_finalizer=in_finalizer)
        except Exception as own:
            self._registry.failures.caught("httpcore.failed", own)
            lease.error = lease.error or OTHER  # or the lease would end as cancelled

    def handle_async_request(self, original: Any) -> Any:
        """Track a request from entering the pool to the response's head."""
        enter, begin, failed = self._enter, self._begin(), self._failed
        current_call = self._surroundings.current_call
        everything, outside = self._surroundings.everything, self._admission.outside
        note_streaming = self._surroundings.note_streaming
        release_logged = self.release_logged
        registry = self._registry
        failures = registry.failures

        async def handle_async_request(self_: Any, request: Any) -> Any:
            tracker = self_._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not registry:
                if not everything and self_._gluellm_owner is None and current_call() is None:
                    outside()
                    return await original(self_, request)
                tracker = enter(self_, request)
                if tracker is None:
                    return await original(self_, request)
            if tracker.loop is None:
                tracker.loop = running_loop()
            lease = begin(tracker, request)
            if lease is None:
                return await original(self_, request)
            try:
                response = await original(self_, request)
            except BaseException as error:
                try:
                    failed(lease, error)
                finally:
                    if not lease.ended:
                        tracker.ensure_ended(lease)
                raise
            try:
                try:
                    if note_streaming:
                        lease.streaming = _is_event_stream(response.headers)
                    status = response.status
                    tracker.answered(lease, status if type(status) is int else int(status))
                    if not release_logged:
                        _unfollowed(lease)
                except Exception as error:
                    failures.caught("httpcore.answered", error)
            except BaseException:
                # Raised by a signal handler. Closed here, since the caller never gets the response.
                await response.aclose()
                raise
            return response

        return handle_async_request

    def handle_request(self, original: Any) -> Any:
        """Sync variant of `handle_async_request`."""
        enter, begin, failed = self._enter, self._begin(), self._failed
        current_call = self._surroundings.current_call
        everything, outside = self._surroundings.everything, self._admission.outside
        note_streaming = self._surroundings.note_streaming
        release_logged = self.release_logged
        registry = self._registry
        failures = registry.failures

        def handle_request(self_: Any, request: Any) -> Any:
            tracker = self_._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not registry:
                if not everything and self_._gluellm_owner is None and current_call() is None:
                    outside()
                    return original(self_, request)
                tracker = enter(self_, request)
                if tracker is None:
                    return original(self_, request)
            lease = begin(tracker, request)
            if lease is None:
                return original(self_, request)
            try:
                response = original(self_, request)
            except BaseException as error:
                try:
                    failed(lease, error)
                finally:
                    if not lease.ended:
                        tracker.ensure_ended(lease)
                raise
            try:
                try:
                    if note_streaming:
                        lease.streaming = _is_event_stream(response.headers)
                    status = response.status
                    tracker.answered(lease, status if type(status) is int else int(status))
                    if not release_logged:
                        _unfollowed(lease)
                except Exception as error:
                    failures.caught("httpcore.answered", error)
            except BaseException:
                # Raised by a signal handler. Closed here, since the caller never gets the response.
                response.close()
                raise
            return response

        return handle_request

    # The queue

    def wait_for_connection(self, original: Any) -> Any:
        """Record that a request waits: a pass over the queue has assigned it no connection.

        The library calls this after each pass.
        """
        registry = self._registry
        failures = registry.failures

        def wait_for_connection(self_: Any, timeout: float | None = None) -> Any:
            try:
                lease = self_.request._gluellm_lease
                if lease is not None and lease.tracker.registry is registry:
                    tracker = lease.tracker
                    tracker.ledger.acquire_timeout = timeout
                    if self_.connection is None:
                        lease = lease_of(self_)
                        if lease is not None:
                            tracker.waiting(lease, timeout)
            except Exception as error:
                failures.caught("httpcore.wait", error)
            return original(self_, timeout)

        return wait_for_connection

    def assign_to_connection(self, original: Any) -> Any:
        """Record the assignment of a connection.

        The library calls this under the pool's lock, in the task that makes the pass.
        """
        registry = self._registry
        failures = registry.failures

        def assign_to_connection(self_: Any, connection: Any) -> Any:
            result = original(self_, connection)
            try:
                lease = self_.request._gluellm_lease
                if lease is None or connection is None or lease.tracker.registry is not registry:
                    return result
                ticket = id(self_)
                if not lease.ticket:
                    lease.ticket = ticket
                elif lease.ticket != ticket:
                    lease = lease_of(self_)
                    if lease is None:
                        return result
                tracker = lease.tracker
                tracked = getattr(connection, CONNECTION, None)
                if tracked is None or tracked.tracker is not tracker or tracked.adopted:
                    tracked = connections.tracked(connection, _keeper(tracked, tracker))
                tracker.assigned(lease, tracked)
            except Exception as error:
                failures.caught("httpcore.assign", error)
            return result

        return assign_to_connection

    def clear_connection(self, original: Any) -> Any:
        """Record a requeue: the assigned connection is no longer available."""
        registry = self._registry
        failures = registry.failures

        def clear_connection(self_: Any) -> Any:
            # Recorded first: after the original call another thread can assign a new connection.
            try:
                lease = lease_of(self_)
                if lease is not None and lease.tracker.registry is registry:
                    lease.tracker.requeued(lease)
            except Exception as error:
                failures.caught("httpcore.requeue", error)
            return original(self_)

        return clear_connection

    def http11_send(self, original: Any) -> Any:
        """Record that an HTTP/1.1 connection accepts a request and starts to send it.

        The library calls this once for each accepted request, and never for a refused one.
        """
        registry = self._registry
        failures = registry.failures
        forwarded = FORWARDED.get

        def send_request_headers(self_: Any, request: Any) -> Any:
            try:
                lease = request._gluellm_lease or forwarded()
                connection = self_._gluellm_connection
                if lease is not None and connection is not None and connection.lease is not lease:
                    while lease is not None and lease.connection is not connection:
                        lease = lease.previous
                    if lease is not None and lease.tracker.registry is registry:
                        lease.tracker.accepted(lease, connection)
            except Exception as error:
                failures.caught("httpcore.accept", error)
            return original(self_, request)

        return send_request_headers

    def async_forward(self, original: Any) -> Any:
        """Carry the lease of a request that is sent through a forward proxy."""

        async def handle_async_request(self_: Any, request: Any) -> Any:
            FORWARDED.set(getattr(request, LEASE, None))
            try:
                return await original(self_, request)
            finally:
                FORWARDED.set(None)

        return handle_async_request

    def sync_forward(self, original: Any) -> Any:
        """Sync variant of `async_forward`."""

        def handle_request(self_: Any, request: Any) -> Any:
            FORWARDED.set(getattr(request, LEASE, None))
            try:
                return original(self_, request)
            finally:
                FORWARDED.set(None)

        return handle_request


def _keeper(tracked: TrackedConnection | None, tracker: PoolTracker) -> PoolTracker:
    """The tracker that keeps the record of a connection assigned to a request of ``tracker``.

    A closed pool that is used again has a new tracker, and its new connections also serve requests
    that were queued before, under the old tracker.
    """
    if tracked is None:
        return tracker
    other = tracked.tracker
    again = other.registry is tracker.registry and other.ledger is tracker.ledger
    return other if again else tracker


def _unfollowed(lease: Lease) -> None:
    """End a lease whose release can't be recorded, so that it does not stay in flight."""
    lease.end_known = False
    lease.tracker.released(lease)


def _is_event_stream(headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a response is a stream of server-sent events, as LLM providers send it."""
    return any(
        name.lower() == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in headers
    )
