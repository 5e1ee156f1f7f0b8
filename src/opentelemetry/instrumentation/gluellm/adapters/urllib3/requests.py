"""A request's way through a pool of urllib3: it takes a connection, uses and returns it.

``urlopen`` calls itself for each retry and each redirect, so one request is one connection taken.
That happens inside ``urlopen``, hence inside the span of OpenTelemetry's urllib3 instrumentation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextvars import ContextVar
from types import FrameType
from typing import Any, Final
from urllib.parse import urlsplit

from ...pool.lease import Lease, TrackedConnection
from ...pool.tracker import PoolTracker
from ..executors import note_executor
from ..marks import CONNECTION
from ..scope import FirstRequest, ModelRequest, Scope
from .connections import pool_origin, record_of, unsent
from .failures import failure_of
from .pools import forwards

_FORWARDED: Final[ContextVar[tuple[bytes, int | None, bytes] | None]] = ContextVar(
    "gluellm_urllib3_forwarded", default=None
)
"""Origin of the request that the running code sends through a forwarding proxy."""
_WAIT_THRESHOLD = 20_000_000
"""Nanoseconds. If the queue had a connection, but getting one took longer than this and another
request released it meanwhile, then another thread was faster and the request has waited."""


class Urllib3RequestHooks:
    """Replacements for the methods of a pool that a request calls."""

    def __init__(self, scope: Scope, on_forwarding: Callable[[], None]) -> None:
        self._scope = scope
        self._registry = scope.registry
        self._on_forwarding = on_forwarding
        """Called when a pool for a forwarding proxy is first tracked: it may predate the hooks."""

    def urlopen(self, original: Any) -> Any:
        """Note a request's origin from its URL: a forwarding proxy's pool serves every origin."""

        def urlopen(self_: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            if getattr(self_, "proxy", None) is None:
                return original(self_, method, url, *args, **kwargs)
            token = _FORWARDED.set(_origin_in(url))
            try:
                return original(self_, method, url, *args, **kwargs)
            finally:
                _FORWARDED.reset(token)

        return urlopen

    def get_conn(self, original: Any) -> Any:
        """Track a request from entering the pool until it has its connection."""
        scope = self._scope
        current_call, everything, outside = scope.current_call, scope.everything, scope.outside
        enter, failed, first_of = scope.enter, scope.failed, self._first_of
        registry, calls_model, begin_call = scope.registry, self._calls_model, scope.begin_call

        def _get_conn(self_: Any, timeout: float | None = None) -> Any:
            # The check of the scope comes first, since this runs for every request of the process.
            tracker = self_._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not registry:
                if (
                    not everything
                    and self_._gluellm_owner is None
                    and current_call() is None
                    and calls_model(self_, sys._getframe(1)) is None
                ):
                    if registry.counts_outside:
                        outside()
                    return original(self_, timeout)
                tracker = enter(self_, first_of, self_, sys._getframe(1))
                if tracker is None:
                    return original(self_, timeout)
            try:
                blocks = bool(self_.block)
                host, port, scheme = self_._gluellm_pool_origin or pool_origin(self_)
                if self_.proxy is not None:
                    host, port, scheme = _FORWARDED.get() or (host, port, scheme)
                call = current_call()
                if call is None or call.ended:
                    found = calls_model(self_, sys._getframe(1))
                    call = None if found is None else begin_call(found, tracker.near)
                lease = tracker.begin(host, port, scheme, call)
            except Exception as error:
                registry.failures.caught("urllib3.begin", error)
                return original(self_, timeout)
            try:
                if blocks:
                    try:
                        tracker.acquire_timeout = tracker.ledger.acquire_timeout = timeout
                        # The list inside the queue, read without the queue's lock. A closed pool
                        # has no queue.
                        free = self_.pool
                        if free is not None and not free.queue:
                            tracker.waiting(lease, timeout)
                    except Exception as error:
                        registry.failures.caught("urllib3.wait", error)
                connection = original(self_, timeout)
            except BaseException as error:
                try:
                    failed(lease, error, failure_of)
                finally:
                    tracker.ensure_ended(lease)
                raise
            try:
                try:
                    record = getattr(connection, CONNECTION, None)
                    if blocks and lease.wait is None and record is not None:
                        last = record.lease
                        # A thread that got no CPU is as late, but its connection was free before.
                        if (
                            last is not None
                            and last.ended_at > lease.entered_at
                            and tracker.clock() - lease.entered_at > _WAIT_THRESHOLD
                        ):
                            tracker.waiting(lease, timeout)
                    if (
                        record is None
                        or record.closed
                        or record.tracker is not tracker
                        or connection.sock is None
                        or record.origin is not lease.origin
                    ):
                        record = _fresh(self_, connection, lease, tracker)
                    record.closing = None
                    tracker.assigned(lease, record)
                    if lease.reused is None:
                        note_executor(self_)
                except Exception as error:
                    registry.failures.caught("urllib3.acquire", error)
                    tracker.discard_lease(lease)
            except BaseException:
                # Raised by a signal handler. Closed here, since the caller never gets it.
                tracker.ensure_ended(lease)
                connection.close()
                raise
            return connection

        return _get_conn

    def put_conn(self, original: Any) -> Any:
        """Record the return of a connection. The pool closes it if it has no room."""
        registry = self._registry

        def _put_conn(self_: Any, conn: Any) -> Any:
            record = None if conn is None else getattr(conn, CONNECTION, None)
            if record is None or record.closed or record.tracker.registry is not registry:
                return original(self_, conn)
            lease = record.lease
            try:
                # Released before the connection is in the queue, where another thread can take it.
                if lease is not None and not lease.ended_at:
                    if lease.answered_at:
                        record.tracker.released(lease)
                    else:
                        # The library closes a connection with an unanswered request, so none was
                        # sent.
                        unsent(record, lease)
                if record.closing is not None:
                    record.close(record.closing)
                elif self_.pool is None:
                    record.closing = "pool_closed"
                elif not self_.block or self_.pool.full():  # else a waiting thread may close it
                    record.closing = "keepalive_limit"
            except Exception as error:
                registry.failures.caught("urllib3.release", error)
            try:
                return original(self_, conn)
            finally:
                if record.lease is lease:
                    record.closing = None

        return _put_conn

    def _calls_model(self, pool: Any, caller: FrameType) -> ModelRequest | None:
        """What a request calls, if it calls a model.

        ``caller`` is ``urlopen``. ``_get_conn`` itself gets neither the method nor the path.
        """
        try:
            calls_model = self._scope.calls_model
            host, port, _ = _FORWARDED.get() or (pool.host, pool.port, b"")
            if calls_model(host, port, None) is None:
                return None
            url = caller.f_locals.get("url")
            is_post = caller.f_locals.get("method") == "POST"
            return calls_model(host, port, url) if is_post and isinstance(url, str) else None
        except Exception as error:
            self._registry.failures.caught("urllib3.scope", error)
            return None

    def _first_of(self, pool: Any, caller: FrameType) -> FirstRequest:
        if forwards(pool):
            self._on_forwarding()
        read_timeout = getattr(pool.timeout, "_read", None)
        return str(pool.host), read_timeout, self._calls_model(pool, caller)


def _fresh(pool: Any, connection: Any, lease: Lease, tracker: PoolTracker) -> TrackedConnection:
    """The record of a connection that is new, reconnected or now serves another origin."""
    record = record_of(connection, pool, tracker)
    if record.origin is not lease.origin:
        # A connection to a forwarding proxy, which served another origin until now.
        record.origin = lease.origin
        record.switch(record.protocol)
    return record


def _origin_in(url: Any) -> tuple[bytes, int | None, bytes] | None:
    if not isinstance(url, str) or url.startswith("/"):
        return None
    try:
        parts = urlsplit(url)
        host = parts.hostname
        if not host:
            return None
        return host.encode("ascii", "replace"), parts.port, parts.scheme.encode("ascii", "replace")
    except ValueError:
        return None
