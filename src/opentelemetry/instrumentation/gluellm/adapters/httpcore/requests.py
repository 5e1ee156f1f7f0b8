"""A request's way through a pool of httpcore or httpcore2, sync and async.

Each function makes a replacement for one method. What happens in it is the same for both kinds of
pool; only where something has to be done *after* an await is there a second, async body.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from ...pool.lease import AWAITING_RESPONSE, READING, STREAM_QUEUED, UNREAD, Lease
from ...pool.registry import Owner
from ...pool.tracker import PoolTracker
from ..base import Surroundings
from ..errors import error_type
from . import connections
from .connections import RECORD, TRACKER

LEASE = "_gluellm_lease"
OWNER = "_gluellm_owner"
EXCLUDED = Owner("", None)
"""Owner of a pool that the user took out."""

current_lease: ContextVar[Lease | None] = ContextVar("gluellm_current_lease", default=None)
"""The lease whose request the running code is sending."""

Make = Callable[[Any], Any]


class RequestSeams:
    """Replacements for the methods that a request passes through."""

    def __init__(self, surroundings: Surroundings, library: str) -> None:
        self._surroundings = surroundings
        self._registry = surroundings.registry
        self._library = library
        self.active = True

    # Whose pool it is

    def pool_init(self, original: Any) -> Any:
        """Claim a pool that is built inside an any-llm call."""

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            call = self._surroundings.current_call()
            if call is not None and not call.ended:
                self_.__dict__.setdefault(OWNER, Owner(call.provider, call.provider))

        return __init__

    def _enter(self, pool: Any, request: Any) -> PoolTracker | None:
        """The tracker for a pool that has none, or None where the pool is not in scope."""
        if not self.active:
            return None
        try:
            surroundings = self._surroundings
            owner: Owner | None = pool.__dict__.get(OWNER)
            if owner is EXCLUDED:
                return None
            if owner is None:
                call = surroundings.current_call()
                if call is not None and not call.ended:
                    owner = Owner(call.provider, call.provider)
                elif surroundings.everything:
                    host = request.url.host.decode("ascii", "replace")
                    owner = Owner(self._library, surroundings.provider_for_host(host))
                else:
                    return None
            tracker = self._registry.track(
                pool, connections.read, owner=owner, library=self._library
            )
            pool.__dict__[TRACKER] = tracker
            for connection in tuple(pool._connections):
                connections.record_of(connection, tracker)
            maximum = pool._max_connections
            tracker.maximum = maximum if maximum < 2**31 else None
            return tracker
        except Exception as error:
            self._registry.failures.caught("httpcore.track", error)
            return None

    # One request

    def _begin(self, tracker: PoolTracker, request: Any) -> Token[Lease | None] | None:
        try:
            call = self._surroundings.current_call()
            if call is not None and call.ended:
                call = None
            url = request.url
            lease = tracker.begin(tracker.origin(url.host, url.port, url.scheme), call)
        except Exception as error:
            self._registry.failures.caught("httpcore.begin", error)
            return None
        return current_lease.set(lease)

    def _failed(self, lease: Lease, error: BaseException) -> None:
        try:
            unwinding = isinstance(error, GeneratorExit)
            lease.tracker.failed(lease, error_type(error), unwinding=unwinding)
        except Exception as own:
            self._registry.failures.caught("httpcore.failed", own)

    def _answered(self, lease: Lease, response: Any) -> None:
        try:
            lease.tracker.answered(lease, response.status)
        except Exception as error:
            self._registry.failures.caught("httpcore.answered", error)

    def handle_async_request(self, original: Any) -> Any:
        """One request, from entering the pool to the response's head."""
        begin, failed, answered = self._begin, self._failed, self._answered
        current_call = self._surroundings.current_call
        everything = self._surroundings.everything

        async def handle_async_request(self_: Any, request: Any) -> Any:
            tracker = self_.__dict__.get(TRACKER)
            if tracker is None or not tracker.open:
                if not everything and current_call() is None and OWNER not in self_.__dict__:
                    return await original(self_, request)
                tracker = self._enter(self_, request)
                if tracker is None:
                    return await original(self_, request)
            token = begin(tracker, request)
            if token is None:
                return await original(self_, request)
            lease = current_lease.get()
            try:
                response = await original(self_, request)
            except BaseException as error:
                failed(lease, error)
                raise
            finally:
                _leave(token)
            answered(lease, response)
            return response

        return handle_async_request

    def handle_request(self, original: Any) -> Any:
        """The same for a sync pool."""
        begin, failed, answered = self._begin, self._failed, self._answered
        current_call = self._surroundings.current_call
        everything = self._surroundings.everything

        def handle_request(self_: Any, request: Any) -> Any:
            tracker = self_.__dict__.get(TRACKER)
            if tracker is None or not tracker.open:
                if not everything and current_call() is None and OWNER not in self_.__dict__:
                    return original(self_, request)
                tracker = self._enter(self_, request)
                if tracker is None:
                    return original(self_, request)
            token = begin(tracker, request)
            if token is None:
                return original(self_, request)
            lease = current_lease.get()
            try:
                response = original(self_, request)
            except BaseException as error:
                failed(lease, error)
                raise
            finally:
                _leave(token)
            answered(lease, response)
            return response

        return handle_request

    def pool_request_init(self, original: Any) -> Any:
        """The pool takes the request into its list: from here on others may assign it."""

        def __init__(self_: Any, *args: Any, **kwargs: Any) -> None:
            original(self_, *args, **kwargs)
            lease = current_lease.get()
            # A task that was started inside a request inherits the variable: its own requests to
            # untracked pools are not this lease's.
            if lease is not None and not lease.listed:
                lease.listed = True
                self_.__dict__[LEASE] = lease

        return __init__

    def wait_for_connection(self, original: Any) -> Any:
        """Called after each pass over the queue; without a connection the request now waits."""
        failures = self._registry.failures

        def wait_for_connection(self_: Any, *args: Any, **kwargs: Any) -> Any:
            lease = self_.__dict__.get(LEASE)
            if lease is not None:
                try:
                    timeout = kwargs["timeout"] if "timeout" in kwargs else (args or (None,))[0]
                    tracker = lease.tracker
                    tracker.ledger.acquire_timeout = timeout
                    if self_.connection is None:
                        tracker.waiting(lease)
                except Exception as error:
                    failures.caught("httpcore.wait", error)
            return original(self_, *args, **kwargs)

        return wait_for_connection

    def assign_to_connection(self, original: Any) -> Any:
        """A connection is assigned; it runs under the pool's lock, in whichever task made the pass."""
        failures = self._registry.failures

        def assign_to_connection(self_: Any, connection: Any) -> None:
            original(self_, connection)
            lease = self_.__dict__.get(LEASE)
            if lease is not None and connection is not None:
                try:
                    tracker = lease.tracker
                    record = connection.__dict__.get(RECORD)
                    if record is None or record.tracker is not tracker:
                        record = connections.record_of(connection, tracker)
                    tracker.assigned(lease, record)
                except Exception as error:
                    failures.caught("httpcore.assign", error)

        return assign_to_connection

    def clear_connection(self, original: Any) -> Any:
        """The assigned connection was no longer available."""
        failures = self._registry.failures

        def clear_connection(self_: Any) -> None:
            original(self_)
            lease = self_.__dict__.get(LEASE)
            if lease is not None:
                try:
                    lease.tracker.refused(lease)
                except Exception as error:
                    failures.caught("httpcore.requeue", error)

        return clear_connection

    # The response

    def async_close(self, original: Any) -> Any:
        """The response is closed: once, whatever the closing itself meets."""

        async def aclose(self_: Any) -> None:
            lease = None if self_._closed else _lease_of(self_)
            if lease is None:
                return await original(self_)  # type: ignore[no-any-return]
            try:
                await original(self_)
            finally:
                self._released(lease)

        return aclose

    def sync_close(self, original: Any) -> Any:
        """The same for a sync response."""

        def close(self_: Any) -> None:
            lease = None if self_._closed else _lease_of(self_)
            if lease is None:
                return original(self_)  # type: ignore[no-any-return]
            try:
                original(self_)
            finally:
                self._released(lease)

        return close

    def _released(self, lease: Lease) -> None:
        try:
            lease.tracker.released(lease)
        except Exception as error:
            self._registry.failures.caught("httpcore.release", error)

    def async_read(self, original: Any, lease_of: Callable[..., Lease | None]) -> Any:
        """A read of the response; while it is in flight the provider is at work."""
        clock = self._registry.clock

        async def read(lease: Lease, *args: Any, **kwargs: Any) -> Any:
            lease.enter(READING, clock())
            try:
                return await original(*args, **kwargs)
            except BaseException as error:
                lease.error = error_type(error)
                raise
            finally:
                lease.enter(UNREAD, clock())

        def receive_event(*args: Any, **kwargs: Any) -> Any:
            lease = lease_of(*args)
            if lease is None or lease.phase != UNREAD:
                return original(*args, **kwargs)
            return read(lease, *args, **kwargs)

        return receive_event

    def sync_read(self, original: Any, lease_of: Callable[..., Lease | None]) -> Any:
        """The same for a sync response."""
        clock = self._registry.clock

        def receive_event(*args: Any, **kwargs: Any) -> Any:
            lease = lease_of(*args)
            if lease is None or lease.phase != UNREAD:
                return original(*args, **kwargs)
            lease.enter(READING, clock())
            try:
                return original(*args, **kwargs)
            except BaseException as error:
                lease.error = error_type(error)
                raise
            finally:
                lease.enter(UNREAD, clock())

        return receive_event

    # HTTP/2

    def http2_handle(self, original: Any) -> Any:
        """The request has a connection and now needs a stream of it."""
        clock = self._registry.clock

        def handle(self_: Any, request: Any) -> Any:
            lease = current_lease.get()
            if lease is not None and lease.connection is self_.__dict__.get(RECORD):
                lease.stream_queued_at = now = clock()
                lease.enter(STREAM_QUEUED, now)
            return original(self_, request)

        return handle

    def http2_send(self, original: Any) -> Any:
        """The request has its stream and is being sent."""
        clock = self._registry.clock

        def send_request_headers(self_: Any, *args: Any, **kwargs: Any) -> Any:
            lease = current_lease.get()
            record = self_.__dict__.get(RECORD)
            if lease is not None and record is not None and lease.connection is record:
                stream = kwargs["stream_id"] if "stream_id" in kwargs else args[1]
                if record.streams is None:
                    record.streams = {}
                record.streams[stream] = lease
                lease.stream_sent_at = now = clock()
                lease.enter(AWAITING_RESPONSE, now)
            return original(self_, *args, **kwargs)

        return send_request_headers

    def http2_response_closed(self, original: Any) -> Any:
        """The stream is over."""

        def response_closed(self_: Any, *args: Any, **kwargs: Any) -> Any:
            record = self_.__dict__.get(RECORD)
            if record is not None and record.streams is not None:
                record.streams.pop(kwargs.get("stream_id", args[0] if args else None), None)
            return original(self_, *args, **kwargs)

        return response_closed


def http11_lease(connection: Any, *args: Any) -> Lease | None:
    """The lease that an HTTP/1.1 connection is reading for."""
    record = connection.__dict__.get(RECORD)
    return record.lease if record is not None else None


def http2_lease(connection: Any, request: Any, stream_id: int) -> Lease | None:
    """The lease that a stream of an HTTP/2 connection belongs to."""
    record = connection.__dict__.get(RECORD)
    if record is None or record.streams is None:
        return None
    found: Lease | None = record.streams.get(stream_id)
    return found


def _lease_of(stream: Any) -> Lease | None:
    found: Lease | None = stream._pool_request.__dict__.get(LEASE)
    return found


def _leave(token: Token[Lease | None]) -> None:
    try:
        current_lease.reset(token)
    except ValueError:
        # A coroutine that the garbage collector closes ends in another context than it began in.
        pass
