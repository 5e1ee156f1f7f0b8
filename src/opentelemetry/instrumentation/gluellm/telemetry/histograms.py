"""Duration histograms of the contract, recorded from finished leases and connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.context import Context

from ..pool.call import CountedCall, bounded
from ..pool.durations import SECOND, in_seconds
from ..pool.lease import Lease, TrackedConnection
from ..pool.observer import PoolObserver
from ..vocabulary import RESOLVE, by_name
from . import semconv
from .attributes import HistogramAttributes, of_calls, of_origin, protocol_key
from .drain import NO_SPAN, Drain, bare_context
from .instruments import MeterInstruments

_MODELS = 50
"""Bound on the models that are reported with calls. Further ones are reported as ``_OTHER``."""
_ACQUIRE_ERRORS = frozenset({"pool_timeout", "cancelled"})
# Each error type adds 13 series per origin to the create histogram, so it distinguishes only these.
# All others become connection_error. gluellm.pool.requests has all types, at one series each.
_CREATE_ERRORS = frozenset({"connect_timeout", "secure_connection_error", "cancelled"})


class DurationObserver(PoolObserver):
    """Observer that turns acquires, set-ups, leases and calls into histogram values.

    It also has each ended lease count its outcome (`Lease.account`), which counters report.
    """

    def __init__(
        self,
        instruments: MeterInstruments,
        *,
        full: bool,
        model_attributes: bool,
        time_in_queue: bool,
        record_call: Callable[[CountedCall], None] = lambda _: None,
    ) -> None:
        self._outbox = instruments.ledgers.outbox
        self._instruments = instruments
        self.drain = Drain(
            self._outbox, self.record, instruments.ledgers.failures, self._record_call
        )
        self._record_call_further = record_call
        self._full = full
        self._model_attributes = model_attributes
        self._acquire = _Histogram(instruments, semconv.ACQUIRE_DURATION)
        self._lease = _Histogram(instruments, semconv.LEASE_DURATION)
        self._create = _Histogram(instruments, semconv.CONNECTION_CREATE_DURATION)
        self._call = _Histogram(instruments, semconv.CALL_DURATION)
        self._models: dict[str, str] = {}
        """Models that are reported with calls."""
        self._in_queue = (
            _Histogram(instruments, semconv.REQUEST_TIME_IN_QUEUE) if time_in_queue else None
        )
        if full:
            self._response_wait = _Histogram(instruments, semconv.RESPONSE_WAIT_DURATION)
            self._tls = _Histogram(instruments, semconv.CONNECTION_TLS_DURATION)
            self._dns = _Histogram(instruments, semconv.DNS_LOOKUP_DURATION)
            self._stream = _Histogram(instruments, semconv.STREAM_ACQUIRE_DURATION)
            self._lifetime = _Histogram(instruments, semconv.CONNECTION_DURATION)
            self._served = _Histogram(instruments, semconv.CONNECTION_REQUESTS)

    # Called on the request's path

    def outbox_filling(self) -> None:
        self.drain.some()

    # Called by the drain

    def record(self, lease: Lease) -> None:
        """Record the acquire of a lease that is answered or has ended; count and record its end."""
        recorded = lease.recorded
        if recorded == 2:
            return  # it had ended when its answer was recorded
        ended = lease.ended_at
        active = self._instruments.active
        # One context for both records: building one costs as much as an attribute does.
        context = bare_context(lease.observed) if active else NO_SPAN
        if not recorded:
            lease.recorded = 1
            # Without either, the hook on the acquire is missing, and the time is unknown.
            if active and (lease.acquired_at or lease.error is not None):
                if lease.acquire_known:
                    self._record_acquire(lease, context)
                if self._full and lease.answered_at:
                    self._record_answer(lease, context)
        if ended:
            lease.account()
            lease.recorded = 2
            connection = lease.connection
            end_known = connection is None or connection.reports_release
            if active and lease.acquired_at and end_known:
                self._record_end(lease, context)

    def _record_call(self, call: CountedCall) -> None:
        """Record a call that has ended, as a duration and perhaps as a span."""
        ledger = call.ledger
        if self._instruments.active and ledger is not None:
            model = None
            if self._model_attributes and call.model:
                model = bounded(self._models, call.model, _MODELS)
            pairs = (semconv.OPERATION_NAME, call.operation, semconv.REQUEST_MODEL, model)
            attributes = of_calls(ledger).of(*pairs)
            context = bare_context(call.observed)
            self._call.record(in_seconds(call.ended_at - call.began_at), attributes, context)
        self._record_call_further(call)

    def _record_acquire(self, lease: Lease, context: Context) -> None:
        origin = lease.origin
        error = None
        if not lease.acquired_at:
            error = lease.error if lease.error in _ACQUIRE_ERRORS else semconv.OTHER
        if error is None and not self._model_attributes:
            attributes = (origin.attributes or of_origin(origin)).base
        else:
            further = _call(lease) if self._model_attributes else ()
            attributes = self._acquire.of(origin, error, *further)
        waited = lease.acquire_time / SECOND
        self._acquire.record(waited, attributes, context)
        if self._in_queue is not None and lease.wait is not None:
            self._in_queue.record(waited, self._in_queue.of(origin), context)

    def _record_answer(self, lease: Lease, context: Context) -> None:
        sent_at = lease.request_sent_at
        if lease.answered_at > sent_at:  # else the answer was the first event that was observed
            waited = (lease.answered_at - sent_at) / SECOND
            self._response_wait.record(waited, self._response_wait.of(lease.origin), context)
        if lease.stream_wait is not None:
            attributes = self._stream.of(lease.origin, None, semconv.PROTOCOL_VERSION, "2")
            self._stream.record(lease.stream_wait / SECOND, attributes, context)

    def _record_end(self, lease: Lease, context: Context) -> None:
        origin = lease.origin
        if self._full or self._model_attributes:
            further = _call(lease) if self._model_attributes else ()
            if self._full:
                further += (semconv.RESPONSE_STREAMING, lease.streaming)
            attributes = self._lease.of(origin, None, *further)
        else:
            attributes = (origin.attributes or of_origin(origin)).base
        held = (lease.ended_at - lease.acquired_at) / SECOND
        self._lease.record(held, attributes, context)

    # Connections. They are few, so their values are put into the outbox right away.

    def connection_created(self, lease: Lease, connection: TrackedConnection) -> None:
        self._put_set_up(lease, connection, connection.established_at, failed=False)

    def connection_failed(
        self,
        lease: Lease,
        connection: TrackedConnection,
        in_finalizer: bool,  # noqa: ARG002
    ) -> None:
        self._put_set_up(lease, connection, lease.ended_at, failed=True)

    def _put_set_up(
        self, lease: Lease, connection: TrackedConnection, ended_at: int, *, failed: bool
    ) -> None:
        def put(target: _Histogram, took: int, error: str | None, *pairs: str) -> None:
            attributes = target.of(connection.origin, error, *pairs)
            self._outbox.put((target.histogram, in_seconds(took), attributes, lease.observed))

        began = connection.connect_started_at or connection.created_at
        error: str | None = lease.error if lease.error in _CREATE_ERRORS else "connection_error"
        put(self._create, ended_at - began, error if failed else None)
        if not self._full:
            return
        if connection.resolved is not None:
            host, port = connection.peer or ("", None)
            name, _ = self._instruments.ledgers.reported_origin(host.encode(), port, b"")
            error = None if connection.resolved else lease.error
            resolving = by_name(connection.steps)[RESOLVE]
            put(self._dns, resolving, error, semconv.DNS_QUESTION_NAME, name)
        secured = connection.tls_ended_at
        if connection.tls_started_at and bool(secured) is not failed:
            error = lease.error if failed else None
            put(self._tls, (secured or ended_at) - connection.tls_started_at, error)

    def connection_closed(self, connection: TrackedConnection, reason: str) -> None:  # noqa: ARG002
        if not self._full:
            return
        origin, protocol = connection.origin, connection.protocol
        lived = in_seconds(connection.tracker.clock() - connection.established_at)
        attributes = self._lifetime.of(origin, None, protocol_key(protocol), protocol)
        self._outbox.put((self._lifetime.histogram, lived, attributes, None))
        attributes = self._served.of(origin)
        self._outbox.put((self._served.histogram, connection.served, attributes, None))


class _Histogram(HistogramAttributes):
    __slots__ = ("histogram", "record")

    def __init__(self, instruments: MeterInstruments, metric: semconv.Metric) -> None:
        super().__init__(metric.name)
        self.histogram = instruments.histogram(metric)
        self.record = self.histogram.record


def _call(lease: Lease) -> tuple[Any, ...]:
    call = lease.call
    if call is None:
        return ()
    return semconv.REQUEST_MODEL, call.model, semconv.OPERATION_NAME, call.operation
