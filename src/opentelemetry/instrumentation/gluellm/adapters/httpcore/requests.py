"""A request's way through a pool of httpcore or httpcore2, sync and async.

Each public method of HttpcoreRequestHooks makes the replacement for one method of the library. The
same replacement serves sync and async pools, unless it has work to do *after* an await.
Replacements are on the path of every request, so look-ups and calls are kept to a minimum.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ...pool.lease import Lease, TrackedConnection, Tracker
from ...pool.registry import running_loop
from ..error_types import error_type
from ..loops import check_loop
from ..marks import LEASE, serves_again
from ..scope import FirstRequest, ModelRequest, Scope, note_content_type
from . import connections
from .tracker import HttpcoreTracker

_CONTENT_TYPE = b"content-type"
_FORWARDED: ContextVar[Lease | None] = ContextVar("gluellm_forwarded", default=None)
"""Lease of the request that is being sent through a forward proxy. The library makes a new request
object for the proxy, which carries no lease."""


class HttpcoreRequestHooks:
    """Replacements for the methods that a request calls until its response's head."""

    def __init__(self, scope: Scope, *, is_async: bool) -> None:
        self._scope = scope
        self._registry = scope.registry
        self._is_async = is_async
        self.reports_release = True
        """Whether the hook that records the closing of responses works."""

    # One request

    def _begin(self) -> Callable[[Any, Any], tuple[Lease, Any] | None]:
        scope, is_async = self._scope, self._is_async
        enter, outside, everything = scope.enter, scope.outside, scope.everything
        current_call, calls_model = scope.current_call, self._calls_model
        registry, begin_call = scope.registry, scope.begin_call

        def begin(pool: Any, request: Any) -> tuple[Lease, Any] | None:
            """Return the lease and the request to send, which carries it; None out of scope."""
            # The check of the scope comes first, since this runs for every request of the process.
            tracker = pool._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not registry:
                if (
                    not everything
                    and pool._gluellm_owner is None
                    and current_call() is None
                    and calls_model(request) is None
                ):
                    if registry.counts_outside:
                        outside()
                    return None
                tracker = enter(pool, self._first_of, request)
                if tracker is None:
                    return None
            if is_async and tracker.loop is None:
                tracker.loop = running_loop()
            try:
                before = request._gluellm_lease
                if before is not None and not before.ended_at:
                    # The object is in flight. A copy is sent, so that each has one lease.
                    request = copy.copy(request)
                url = request.url
                call = current_call()
                if (call is None or call.ended) and (found := calls_model(request)) is not None:
                    call = begin_call(found, tracker.near)
                lease: Lease = tracker.begin(url.host, url.port, url.scheme, call)
                request._gluellm_lease = lease
            except Exception as error:
                registry.failures.caught("httpcore.begin", error)
                return None
            return lease, request

        return begin

    def _calls_model(self, request: Any) -> ModelRequest | None:
        """What a request calls, if it calls a model."""
        if request.method != b"POST":
            return None
        try:
            url = request.url
            return self._scope.calls_model(url.host, url.port, url.target)
        except Exception as error:
            self._registry.failures.caught("httpcore.scope", error)
            return None

    def _first_of(self, request: Any) -> FirstRequest:
        timeouts = request.extensions.get("timeout") or {}
        host = request.url.host.decode("ascii", "replace")
        return host, timeouts.get("read"), self._calls_model(request)

    def _answered(self) -> Callable[[Lease, Any], None]:
        note_streaming, reports_release = self._scope.note_streaming, self.reports_release
        caught = self._registry.failures.caught

        def answered(lease: Lease, response: Any) -> None:
            """Record the response's head. Raises only what a signal handler raises."""
            try:
                call = lease.call
                if note_streaming or (call is not None and call.single):
                    for name, value in response.headers:
                        if name.lower() == _CONTENT_TYPE:
                            note_content_type(lease, value.decode("latin-1"))
                lease.tracker.answered(lease, response.status)
                if not reports_release:
                    # The release can't be recorded: do not leave the request in flight.
                    if lease.connection is not None:
                        lease.connection.reports_release = False
                    lease.tracker.released(lease)
            except Exception as error:
                caught("httpcore.answered", error)

        return answered

    def async_handle(self, original: Any) -> Any:
        """Track a request from entering the pool to the response's head."""
        begin, answered, failed = self._begin(), self._answered(), self._scope.failed

        async def handle_async_request(self_: Any, request: Any) -> Any:
            begun = begin(self_, request)
            if begun is None:
                return await original(self_, request)
            lease, request = begun
            try:
                response = await original(self_, request)
            except BaseException as error:
                try:
                    failed(lease, error, _failure_of)
                finally:
                    lease.tracker.ensure_ended(lease)
                raise
            try:
                answered(lease, response)
            except BaseException:
                # Raised by a signal handler. Closed here, since the caller never gets the response.
                await response.aclose()
                raise
            return response

        return handle_async_request

    def sync_handle(self, original: Any) -> Any:
        """Sync variant of `async_handle`."""
        begin, answered, failed = self._begin(), self._answered(), self._scope.failed

        def handle_request(self_: Any, request: Any) -> Any:
            begun = begin(self_, request)
            if begun is None:
                return original(self_, request)
            lease, request = begun
            try:
                response = original(self_, request)
            except BaseException as error:
                try:
                    failed(lease, error, _failure_of)
                finally:
                    lease.tracker.ensure_ended(lease)
                raise
            try:
                answered(lease, response)
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

        def wait_for_connection(self_: Any, timeout: float | None = None) -> Any:
            try:
                lease = self_.request._gluellm_lease
                if lease is not None and lease.tracker.registry is registry:
                    tracker = lease.tracker
                    tracker.acquire_timeout = tracker.ledger.acquire_timeout = timeout
                    if self_.connection is None:
                        tracker.waiting(lease, timeout)
            except Exception as error:
                registry.failures.caught("httpcore.wait", error)
            return original(self_, timeout)

        return wait_for_connection

    def assign_to_connection(self, original: Any) -> Any:
        """Record the assignment of a connection.

        The library calls this under the pool's lock, in the task that makes the pass.
        """
        registry = self._registry

        def assign_to_connection(self_: Any, connection: Any) -> Any:
            # Recorded first: the original call wakes the request's thread, which can connect, or
            # even end, before this one continues.
            try:
                lease = self_.request._gluellm_lease
                if (
                    lease is not None
                    and connection is not None
                    and lease.tracker.registry is registry
                ):
                    tracker = lease.tracker
                    try:  # as an attribute: getattr() would cost more
                        tracked = connection._gluellm_connection
                    except AttributeError:
                        tracked = None
                    if tracked is None or tracked.tracker is not tracker or tracked.adopted:
                        tracked = connections.tracked(connection, _keeper(tracked, tracker))
                    tracker.assigned(lease, tracked)
            except Exception as error:
                registry.failures.caught("httpcore.assign", error)
            finally:
                result = original(self_, connection)
            return result

        return assign_to_connection

    def requeues(self, pool_request: Any) -> None:
        """Record a requeue: the assigned connection is no longer available.

        Before the original call: after it, another thread can assign a new connection.
        """
        lease = pool_request.request._gluellm_lease
        if lease is not None and lease.tracker.registry is self._registry:
            lease.tracker.requeued(lease)

    def send_request_headers(self, original: Any) -> Any:
        """Record that an HTTP/1.1 connection accepts a request and starts to send it.

        The library calls this once for each accepted request, and never for a refused one.
        """
        registry = self._registry

        def send_request_headers(self_: Any, request: Any) -> Any:
            try:
                connection: TrackedConnection | None = self_._gluellm_connection
                if connection is not None and connection.promised:
                    lease = request._gluellm_lease or _FORWARDED.get()
                    if (
                        lease is not None
                        and connection.lease is not lease
                        and lease.connection is connection
                        and lease.tracker.registry is registry
                    ):
                        tracker: HttpcoreTracker = lease.tracker  # type: ignore[assignment]
                        tracker.accepted(lease, connection)
            except Exception as error:
                registry.failures.caught("httpcore.accept", error)
            return original(self_, request)

        return send_request_headers

    def forward(self, original: Any) -> Any:
        """Carry the lease of a request that is sent through a forward proxy."""

        async def handle_async_request(self_: Any, request: Any) -> Any:
            _FORWARDED.set(getattr(request, LEASE, None))
            try:
                return await original(self_, request)
            finally:
                _FORWARDED.set(None)

        def handle_request(self_: Any, request: Any) -> Any:
            _FORWARDED.set(getattr(request, LEASE, None))
            try:
                return original(self_, request)
            finally:
                _FORWARDED.set(None)

        return handle_async_request if self._is_async else handle_request


def _failure_of(lease: Lease, error: BaseException) -> str | None:
    check_loop(lease.tracker, error, lease.call_site)
    return None if type(error).__name__ == "UnsupportedProtocol" else error_type(error)


def _keeper(tracked: TrackedConnection | None, tracker: Tracker) -> Tracker:
    """The tracker that keeps the record of a connection assigned to a request of ``tracker``.

    A closed pool that is used again has a new tracker, and its new connections also serve requests
    that were queued before, under the old tracker.
    """
    if tracked is not None and serves_again(tracked, tracker):
        return tracked.tracker
    return tracker
