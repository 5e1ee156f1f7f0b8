"""Durations of the contract, from the events of the pools into the recording buffer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, get_current
from opentelemetry.trace import get_current_span

from ..pool.lease import Lease
from ..pool.observer import PoolObserver
from ..pool.tracker import TrackedConnection
from . import semconv
from .attributes import HistogramAttributes, of_origin
from .buffer import RecordingBuffer
from .instruments import MeterInstruments

if TYPE_CHECKING:
    pass

# Set beside the other one "for backward compatibility" by opentelemetry-instrumentation.
_SUPPRESS_PLAIN = "suppress_instrumentation"
_ACQUIRE_ERRORS = frozenset({"pool_timeout", "cancelled"})


class ContextObserver(PoolObserver):
    """Notes at entry what belongs to the request's own context. It comes before the others."""

    def __init__(self, buffer: RecordingBuffer) -> None:
        self._buffer = buffer

    def lease_queued(self, lease: Lease) -> None:
        if self._buffer.more_than_half_full:
            self._buffer.drain_some()
        context = get_current()
        if not context:
            return
        if context.get(_SUPPRESS_INSTRUMENTATION_KEY) or context.get(_SUPPRESS_PLAIN):
            lease.counted = False
            return
        span_context = get_current_span(context).get_span_context()
        if span_context.is_valid:
            lease.observed = span_context


class DurationObserver(PoolObserver):
    """Turns finished acquires, set-ups and leases into histogram values."""

    def __init__(
        self,
        buffer: RecordingBuffer,
        instruments: MeterInstruments,
        *,
        full: bool,
        model_attributes: bool,
        time_in_queue: bool,
    ) -> None:
        self._append = buffer.append
        self._full = full
        self._model_attributes = model_attributes
        self._acquire = _Histogram(instruments, semconv.ACQUIRE_DURATION)
        self._lease = _Histogram(instruments, semconv.LEASE_DURATION)
        self._create = _Histogram(instruments, semconv.CONNECTION_CREATE_DURATION)
        self._plain = not (full or model_attributes)
        self._in_queue = (
            _Histogram(instruments, semconv.REQUEST_TIME_IN_QUEUE) if time_in_queue else None
        )
        if full:
            self._response_wait = _Histogram(instruments, semconv.RESPONSE_WAIT_DURATION)
            self._tls = _Histogram(instruments, semconv.CONNECTION_TLS_DURATION)
            self._stream = _Histogram(instruments, semconv.STREAM_ACQUIRE_DURATION)
            self._lifetime = _Histogram(instruments, semconv.CONNECTION_DURATION)
            self._served = _Histogram(instruments, semconv.CONNECTION_REQUESTS)

    def lease_acquired(self, lease: Lease) -> None:
        if not lease.counted:
            return
        origin = lease.origin
        attributes = (origin.attributes or of_origin(origin)).base
        if self._model_attributes:
            attributes = self._acquire.attributes.of(origin, **_call(lease))
        waited = lease.acquire_time / 1e9
        self._append(self._acquire.histogram, waited, attributes, lease.observed)
        if self._in_queue is not None and lease.waited:
            attributes = self._in_queue.attributes.of(origin)
            self._append(self._in_queue.histogram, waited, attributes, lease.observed)

    def lease_answered(self, lease: Lease) -> None:
        if not self._full or not lease.counted:
            return
        connection = lease.connection
        established_at = connection.established_at if connection is not None else 0
        sent_at = lease.stream_sent_at or max(lease.acquired_at, established_at)
        self._append(
            self._response_wait.histogram,
            (lease.answered_at - sent_at) / 1e9,
            self._response_wait.attributes.of(lease.origin),
            lease.observed,
        )
        if lease.stream_queued_at:
            self._append(
                self._stream.histogram,
                (lease.stream_sent_at - lease.stream_queued_at) / 1e9,
                self._stream.attributes.of(lease.origin, protocol="2"),
                lease.observed,
            )

    def lease_released(self, lease: Lease) -> None:
        if lease.counted:
            self._record_lease(lease)

    def lease_failed(self, lease: Lease) -> None:
        if not lease.counted:
            return
        if lease.acquired_at:
            self._record_lease(lease)
            return
        error = lease.error if lease.error in _ACQUIRE_ERRORS else semconv.OTHER
        further = _call(lease) if self._model_attributes else {}
        attributes = self._acquire.attributes.of(lease.origin, error=error, **further)
        waited = lease.acquire_time / 1e9
        self._append(self._acquire.histogram, waited, attributes, lease.observed)

    def _record_lease(self, lease: Lease) -> None:
        origin = lease.origin
        if self._plain:
            attributes = (origin.attributes or of_origin(origin)).base
        else:
            further: dict[str, Any] = _call(lease) if self._model_attributes else {}
            if self._full:
                further["streaming"] = lease.streaming
            attributes = self._lease.attributes.of(origin, **further)
        held = (lease.ended_at - lease.acquired_at) / 1e9
        # A close has no context of its own: it may be the garbage collector's.
        span_context = None if lease.unwinding else lease.observed
        self._append(self._lease.histogram, held, attributes, span_context)

    def connection_created(self, lease: Lease, connection: TrackedConnection) -> None:
        if not lease.counted:
            return
        began = connection.connect_started_at or connection.created_at
        self._append(
            self._create.histogram,
            (connection.established_at - began) / 1e9,
            self._create.attributes.of(connection.origin),
            lease.observed,
        )
        if self._full and connection.tls_ended_at:
            self._record_tls(lease, connection, connection.tls_ended_at, None)

    def connection_failed(self, lease: Lease, connection: TrackedConnection) -> None:
        if not lease.counted:
            return
        self._append(
            self._create.histogram,
            (lease.failed_at - connection.connect_started_at) / 1e9,
            self._create.attributes.of(connection.origin, error=lease.error),
            lease.observed,
        )
        if self._full and connection.tls_started_at and not connection.tls_ended_at:
            self._record_tls(lease, connection, lease.failed_at, lease.error)

    def _record_tls(
        self, lease: Lease, connection: TrackedConnection, ended_at: int, error: str | None
    ) -> None:
        self._append(
            self._tls.histogram,
            (ended_at - connection.tls_started_at) / 1e9,
            self._tls.attributes.of(connection.origin, error=error),
            lease.observed,
        )

    def connection_closed(self, connection: TrackedConnection, reason: str) -> None:
        if not self._full:
            return
        origin = connection.origin
        now = connection.tracker.registry.clock()
        self._append(
            self._lifetime.histogram,
            (now - connection.established_at) / 1e9,
            self._lifetime.attributes.of(origin, protocol=connection.protocol),
            None,
        )
        attributes = self._served.attributes.of(origin)
        self._append(self._served.histogram, connection.served, attributes, None)


class _Histogram:
    __slots__ = ("attributes", "histogram")

    def __init__(self, instruments: MeterInstruments, metric: semconv.Metric) -> None:
        self.histogram = instruments.histogram(metric)
        self.attributes = HistogramAttributes(metric.name)


def _call(lease: Lease) -> dict[str, Any]:
    call = lease.call
    if call is None:
        return {}
    return {"model": call.model, "operation": call.operation}
