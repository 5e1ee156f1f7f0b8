"""A request's way to a connection of aiohttp: entering the pool, its queue, the set-up.

Each public method of AiohttpRequestHooks makes the replacement for one method of the library. The
replacement for ``connect`` is on the path of every request, so look-ups and calls are kept to a
minimum.
"""

from __future__ import annotations

import contextlib
import sys
from contextvars import ContextVar
from typing import Any

from ...pool.call_site import CallSite, Near
from ...pool.lease import Lease
from ...pool.registry import running_loop
from ...pool.tracker import PoolTracker
from ...vocabulary import QUEUED
from .. import steps
from ..loops import check_loop
from ..marks import CONNECTION, LEASE, TRACKER
from ..scope import FirstRequest, ModelRequest, Scope
from . import connections, failures

ENTERING = "_gluellm_entering"
"""On a connector: lease and timeouts of the request that entered last. The method that queues a
request does not get the request, but nothing else runs on the connector's loop between entering
and queueing."""

_entered_at: ContextVar[CallSite | None] = ContextVar("gluellm_entered_at", default=None)
"""Call site of the running request, if its session looks up a proxy."""


class AiohttpRequestHooks:
    """Replacements for the methods that a request calls until it has its connection."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._registry = scope.registry

    def enter(self, original: Any) -> Any:
        """Find the call site of a request whose session looks up a proxy in a thread.

        The look-up mostly raises LookupError inside the request's task. CPython resumes it with
        ``throw()``, and then leaves out frames between the task and the pool.
        """
        find, near = self._registry.find_call_site, Near()
        failures = self._registry.failures

        async def entered(pending: Any, call_site: CallSite | None) -> Any:
            token = _entered_at.set(call_site)
            try:
                return await pending
            finally:
                with contextlib.suppress(ValueError):  # closed by a finalizer elsewhere
                    _entered_at.reset(token)

        def _request(self_: Any, *args: Any, **kwargs: Any) -> Any:
            pending = original(self_, *args, **kwargs)
            try:
                if self_._trust_env:
                    return entered(pending, find(near))
            except Exception as error:
                failures.caught("aiohttp.enter", error)
            return pending

        return _request

    def connect(self, original: Any) -> Any:
        """Track a request from entering the pool until it has its connection."""
        scope = self._scope
        current_call, everything, outside = scope.current_call, scope.everything, scope.outside
        enter, failed, calls_model = scope.enter, scope.failed, self._calls_model
        registry, begin_call = scope.registry, scope.begin_call

        async def tracked(
            tracker: PoolTracker, self_: Any, req: Any, traces: Any, timeout: Any
        ) -> Any:
            lease = None
            try:
                url, entered_at = req.url, _entered_at.get()
                call = current_call()
                if (call is None or call.ended) and (found := calls_model(req)) is not None:
                    call = begin_call(found, tracker.near, entered_at)
                lease = tracker.begin(url.raw_host.encode(), url.port, b"", call)
                if lease.call is None:
                    lease.own_call_site = entered_at or lease.own_call_site
                req._gluellm_lease = lease
                self_._gluellm_entering = (lease, timeout)
                tracker.acquire_timeout = tracker.ledger.acquire_timeout = (
                    timeout.connect or timeout.total
                )
            except Exception as error:
                registry.failures.caught("aiohttp.begin", error)
                if lease is None:
                    return await original(self_, req, traces, timeout)
            try:
                made = await original(self_, req, traces, timeout)
            except BaseException as error:
                try:
                    failed(lease, error, failures.before_sending, req)
                finally:
                    tracker.ensure_ended(lease)
                raise
            if lease.connection is None:
                try:
                    try:
                        protocol = made.protocol
                        record = protocol._gluellm_connection
                        if record is None or record.tracker is not tracker:
                            record = connections.record_of_idle(protocol, lease.origin, tracker)
                        tracker.assigned(lease, record)
                    except Exception as error:
                        registry.failures.caught("aiohttp.assign", error)
                except BaseException:
                    # Raised by a signal handler. Closed here, since the caller never gets it.
                    made.close()
                    tracker.ensure_ended(lease)
                    raise
            return made

        def connect(self_: Any, req: Any, traces: Any, timeout: Any) -> Any:
            # The check of the scope comes first, since this runs for every request of the process.
            tracker = self_._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not registry:
                if (
                    not everything
                    and self_._gluellm_owner is None
                    and current_call() is None
                    and calls_model(req) is None
                ):
                    if registry.counts_outside:
                        outside()
                    return original(self_, req, traces, timeout)
                tracker = enter(self_, self._first_of, self_, req, timeout)
                if tracker is None:
                    return original(self_, req, traces, timeout)
            if tracker.loop is None:
                tracker.loop = running_loop()
            return tracked(tracker, self_, req, traces, timeout)

        return connect

    def _calls_model(self, req: Any) -> ModelRequest | None:
        """What a request calls, if it calls a model."""
        if req.method != "POST":
            return None
        try:
            url = req.url
            return self._scope.calls_model(url.raw_host or "", url.port, url.path)
        except Exception as error:
            self._registry.failures.caught("aiohttp.scope", error)
            return None

    def _first_of(self, pool: Any, req: Any, timeout: Any) -> FirstRequest | None:
        if pool._closed:
            return None
        return req.url.raw_host or "", timeout.sock_read or timeout.total, self._calls_model(req)

    def wait(self, original: Any) -> Any:
        """Record that a request joins the queue: the limits allow no further connection."""
        registry = self._registry

        def _wait_for_available_connection(self_: Any, *args: Any, **kwargs: Any) -> Any:
            try:
                entering = self_._gluellm_entering
                if entering is not None:
                    self_._gluellm_entering = None
                    lease, timeout = entering
                    tracker = lease.tracker
                    if tracker.registry is registry and lease.connection is None:
                        tracker.waiting(lease, timeout.connect or timeout.total)
            except Exception as error:
                registry.failures.caught("aiohttp.wait", error)
            return original(self_, *args, **kwargs)

        return _wait_for_available_connection

    def check_loop(self, _timer: Any) -> None:
        """Report a session on a second event loop, since a request failed before its answer.

        aiohttp closes the timer of a request's timeout only then. With a total timeout, requests
        in a second loop fail before they enter the pool.
        """
        error = sys.exc_info()[1]
        if type(error) is not RuntimeError or error.__traceback__ is None:
            return
        # The error is handled in a method of the session, which made the timer.
        session = error.__traceback__.tb_frame.f_locals.get("self")
        tracker = getattr(getattr(session, "_connector", None), TRACKER, None)
        if tracker is not None and tracker.registry is self._registry:
            call = self._scope.current_call()
            call_site = self._registry.find_call_site() if call is None else call.call_site
            check_loop(tracker, error, call_site)

    def create_connection(self, original: Any) -> Any:
        """Record that a request establishes a connection, with the times of its set-up."""
        registry = self._registry

        def _create_connection(self_: Any, req: Any, *args: Any, **kwargs: Any) -> Any:
            pending = original(self_, req, *args, **kwargs)
            lease: Lease | None = getattr(req, LEASE, None)
            if (
                lease is None
                or lease.ended_at
                or lease.phase != QUEUED
                or lease.tracker.registry is not registry
            ):
                return pending
            return set_up(lease, req, pending)

        async def set_up(lease: Lease, req: Any, pending: Any) -> Any:
            try:
                record = connections.connecting(lease, req)
            except Exception as error:
                registry.failures.caught("aiohttp.create", error)
                return await pending
            with steps.within(record):
                protocol = await pending
            try:
                connections.secured(record, protocol)
            except Exception as error:
                registry.failures.caught("aiohttp.tls", error)
            try:
                if getattr(protocol, CONNECTION) is None:
                    connections.connected(record, protocol)
            except Exception as error:
                registry.failures.caught("aiohttp.established", error)
            return protocol

        return _create_connection
