"""A request's way through a pool of urllib3: a connection is taken, used, and given back.

``urlopen`` calls itself for each retry and each redirect, so what counts as one request is one
connection taken. That lies inside ``urlopen``, hence inside the span that OpenTelemetry's own
instrumentation opens around it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final
from urllib.parse import urlsplit

from ...pool.lease import Lease
from ...pool.tracker import PoolTracker
from ..admission import Admission
from .connections import asked_of, fail, give_back, record_of
from .executors import note_executor
from .failures import failure_of
from .marks import connection_of, running
from .responses import ResponseSeams

_FORWARDED: Final[ContextVar[tuple[bytes, int | None, bytes] | None]] = ContextVar(
    "gluellm_urllib3_forwarded", default=None
)
"""The origin that is asked for here through a proxy that forwards."""
_NOTICED = 20_000_000
"""Nanoseconds for a connection that only a wait explains, where the queue had one to begin with:
another thread was faster."""


class RequestSeams:
    """Replacements for the methods of a pool that a request passes through."""

    def __init__(self, admission: Admission, responses: ResponseSeams) -> None:
        self._admission = admission
        self._registry = admission.registry
        self._responses = responses

    def urlopen(self, original: Any) -> Any:
        """A proxy that forwards gets the whole URL, and its pool serves every origin."""

        def urlopen(self_: Any, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            if self_.proxy is None:
                return original(self_, method, url, *args, **kwargs)
            token = _FORWARDED.set(_origin_in(url))
            try:
                return original(self_, method, url, *args, **kwargs)
            finally:
                _FORWARDED.reset(token)

        return urlopen

    def get_conn(self, original: Any) -> Any:
        """The request enters the pool, and leaves its queue with a connection."""
        admission = self._admission
        registry = self._registry
        failures = registry.failures
        current_call = admission.surroundings.current_call
        everything = admission.surroundings.everything
        enter, begin, failed, take = self._enter, self._begin(), self._failed, self._take

        def _get_conn(self_: Any, timeout: float | None = None) -> Any:
            tracker = self_._gluellm_tracker
            if tracker is None or not tracker.open or tracker.registry is not registry:
                if not everything and self_._gluellm_owner is None and current_call() is None:
                    return original(self_, timeout)
                tracker = enter(self_)
                if tracker is None:
                    return original(self_, timeout)
            lease = begin(tracker, self_)
            if lease is None:
                return original(self_, timeout)
            blocks = self_.block
            if blocks:
                try:
                    tracker.ledger.acquire_timeout = timeout
                    # The list inside of it, read without its lock.
                    if not self_.pool.queue:
                        tracker.waiting(lease, timeout)
                except Exception as error:
                    failures.caught("urllib3.wait", error)
            try:
                connection = original(self_, timeout)
            except BaseException as error:
                failed(lease, error)
                raise
            try:
                unseen = blocks and not lease.waited
                if unseen and tracker.clock() - lease.entered_at > _NOTICED:
                    tracker.waiting(lease, timeout)
                take(self_, connection, lease, tracker)
            except Exception as error:
                failures.caught("urllib3.acquire", error)
                tracker.withdraw(lease)
            return connection

        return _get_conn

    def prepare_proxy(self, original: Any) -> Any:
        """The connection is established through a proxy, before the request is made on it."""
        failed = self._failed

        def _prepare_proxy(self_: Any, conn: Any) -> Any:
            try:
                return original(self_, conn)
            except BaseException as error:
                lease = self._lease(conn)
                if lease is not None:
                    failed(lease, error)
                raise

        return _prepare_proxy

    def make_request(self, original: Any) -> Any:
        """The request is sent on its connection, and answered."""
        registry = self._registry
        failures = registry.failures
        failed = self._failed
        answered = self._responses.answered

        def _make_request(self_: Any, conn: Any, *args: Any, **kwargs: Any) -> Any:
            lease = running(connection_of(conn))
            if lease is None or lease.tracker.registry is not registry:
                return original(self_, conn, *args, **kwargs)
            tracker = lease.tracker
            if tracker.entered == 1:
                tracker.read_timeout = _seconds(kwargs.get("timeout")) or tracker.read_timeout
            try:
                response = original(self_, conn, *args, **kwargs)
            except BaseException as error:
                # Here, and not where the connection is closed: a back-off may come first.
                failed(lease, error)
                raise
            if not lease.answered_at:
                try:
                    answered(lease, response)
                except Exception as error:
                    failures.caught("urllib3.answered", error)
            return response

        return _make_request

    def put_conn(self, original: Any) -> Any:
        """The connection is given back. What the pool has no room for is closed."""
        registry = self._registry
        failures = registry.failures

        def _put_conn(self_: Any, conn: Any) -> Any:
            record = None if conn is None else connection_of(conn)
            if record is None or record.closed or record.tracker.registry is not registry:
                return original(self_, conn)
            lease = record.lease
            try:
                # Before it is in the queue, where another thread takes it at once.
                held = running(record)
                if held is not None:
                    give_back(held, record)
                if not record.closed:
                    record.closing = "pool_closed" if self_.pool is None else "keepalive_limit"
            except Exception as error:
                failures.caught("urllib3.release", error)
            try:
                return original(self_, conn)
            finally:
                if record.lease is lease:
                    record.closing = None

        return _put_conn

    # Steps

    def _enter(self, pool: Any) -> PoolTracker | None:
        try:
            return self._admission.enter(pool, str(pool.host), _seconds(pool.timeout))
        except Exception as error:
            self._registry.failures.caught("urllib3.track", error)
            return None

    def _begin(self) -> Callable[[PoolTracker, Any], Lease | None]:
        current_call = self._admission.surroundings.current_call
        failures = self._registry.failures

        def begin(tracker: PoolTracker, pool: Any) -> Lease | None:
            try:
                call = current_call()
                if call is not None and call.ended:
                    call = None
                host, port, scheme = pool._gluellm_asked or asked_of(pool)
                if pool.proxy is not None:
                    host, port, scheme = _FORWARDED.get() or (host, port, scheme)
                return tracker.begin(host, port, scheme, call)
            except Exception as error:
                failures.caught("urllib3.begin", error)
                return None

        return begin

    @staticmethod
    def _take(pool: Any, connection: Any, lease: Lease, tracker: PoolTracker) -> None:
        record = connection_of(connection)
        if (
            record is None
            or record.closed
            or record.tracker is not tracker
            or getattr(connection, "sock", None) is None
        ):
            record = record_of(connection, pool, tracker)
        record.closing = None
        if record.origin is not lease.origin:
            # To a proxy that forwards: it was another origin's until now.
            record.origin = lease.origin
            record.switch(record.protocol)
        tracker.assigned(lease, record)
        if lease.fresh:
            note_executor(pool)

    def _lease(self, connection: Any) -> Lease | None:
        lease = running(connection_of(connection))
        if lease is None or lease.tracker.registry is not self._registry:
            return None
        return lease

    def _failed(self, lease: Lease, error: BaseException) -> None:
        try:
            if lease.ended:
                return
            kind = failure_of(lease, error)
            if kind == "pool_timeout":
                lease.tracker.timed_out(lease, error)
            fail(lease, kind, unwinding=isinstance(error, GeneratorExit))
        except Exception as own:
            self._registry.failures.caught("urllib3.failed", own)


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


def _seconds(timeout: Any) -> float | None:
    """The read timeout of a ``Timeout``; None where it has none."""
    value = getattr(timeout, "_read", None)
    return float(value) if isinstance(value, (int, float)) else None
