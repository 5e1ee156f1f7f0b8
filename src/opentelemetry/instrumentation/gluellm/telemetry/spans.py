"""Spans of waits and connection set-ups, created when they end, with their true start time.

Modelled on .NET's ``System.Net.Http`` connection spans. Requests without a wait or set-up have
none.
"""

from __future__ import annotations

import time
from typing import Any

from opentelemetry import trace

from ..pool.call import CountedCall
from ..pool.durations import SECOND, in_seconds, nanoseconds
from ..pool.lease import Lease, TrackedConnection
from ..pool.observer import PoolObserver
from ..version import __version__
from ..vocabulary import FAILED, PHASES, REQUESTING, STEPS, by_name
from . import semconv
from .attributes import of_call, of_origin
from .drain import bare_context
from .entry import SuppressedContext


def tracer_of(provider: trace.TracerProvider | None) -> trace.Tracer:
    """Return this package's tracer of a provider, the global one by default."""
    return trace.get_tracer(semconv.SCOPE_NAME, __version__, provider, semconv.SCHEMA_URL)


def records_spans(provider: trace.TracerProvider | None) -> bool:
    """Return whether a provider records spans; by default, the global one."""
    return not isinstance(tracer_of(provider), (trace.NoOpTracer, trace.ProxyTracer))


class SpanObserver(PoolObserver):
    """Observer that creates spans in the request's own task, outside of the pool's lock.

    The finalizer rule (pool/lease.py): finalizers create no spans.
    """

    def __init__(self, tracer: trace.Tracer, minimum: float) -> None:
        self._tracer = tracer
        self._minimum = nanoseconds(minimum)

    def lease_waited(self, lease: Lease, in_finalizer: bool) -> None:
        if in_finalizer:
            return
        if not lease.acquired_at:
            self._wait(lease, lease.entered_at, lease.ended_at, lease.error)
        elif lease.acquire_time >= self._minimum:
            self._wait(lease, lease.entered_at, lease.acquired_at, None)

    def lease_answered(self, lease: Lease) -> None:
        connection = lease.connection
        if lease.reused is None and connection is not None and connection.first_lease is not lease:
            # HTTP/2: it was assigned a connection that another request was establishing.
            began, ended = lease.acquired_at, connection.established_at
            if began < ended and ended - began >= self._minimum:
                self._wait(lease, began, ended, None, connection.observed)
        if not lease.in_client_span:
            return
        span = trace.get_current_span()
        if span.is_recording():
            # The span of an SDK's call contains its retries, of which the last one rarely waits.
            before = getattr(span, "attributes", None) or {}
            waited = lease.acquire_time / SECOND + before.get(semconv.SPAN_ACQUIRE_DURATION, 0.0)
            span.set_attribute(semconv.CONNECTION_REUSED, lease.reused is True)
            span.set_attribute(semconv.SPAN_ACQUIRE_DURATION, waited)

    def call_ended(self, call: CountedCall) -> None:
        span: trace.Span | None = call.client_span()
        if span is not None and span.is_recording():
            call.account_requests()
            span.set_attributes(of_call(call))

    def record_call(self, call: CountedCall) -> None:
        """Create the span of a call that has ended. Called by the drain."""
        total = call.ended_at - call.began_at
        if not call.retries and total - call.spent[REQUESTING] < self._minimum:
            return
        if isinstance(call.observed, SuppressedContext):
            return
        span = self._start(semconv.SPAN_CALL, call.observed, call.began_at, of_call(call))
        if call.outcome == FAILED:
            span.set_status(trace.Status(trace.StatusCode.ERROR))
        span.end(end_time=_epoch(call.ended_at))

    def _wait(
        self,
        lease: Lease,
        began: int,
        ended: int,
        error: str | None,
        setup: trace.SpanContext | None = None,
    ) -> None:
        if isinstance(lease.observed, SuppressedContext):
            return
        attributes = _attributes(lease)
        links = []
        wait_snapshot = None if lease.wait is None else lease.wait.snapshot
        if setup is not None:
            links.append(trace.Link(setup))
        elif wait_snapshot is not None:
            attributes[semconv.SPAN_CONNECTION_ACTIVE] = wait_snapshot.active
            attributes[semconv.SPAN_CONNECTION_IDLE] = wait_snapshot.idle
            attributes[semconv.SPAN_REQUEST_QUEUED] = wait_snapshot.queued
            if wait_snapshot.maximum is not None:
                attributes[semconv.SPAN_CONNECTION_MAX] = wait_snapshot.maximum
            if wait_snapshot.oldest_age:
                attributes[semconv.SPAN_OLDEST_LEASE_AGE] = in_seconds(wait_snapshot.oldest_age)
                attributes[semconv.SPAN_OLDEST_LEASE_PHASE] = PHASES[wait_snapshot.oldest_phase]
            links += [
                trace.Link(_without_state(holder))
                for holder in wait_snapshot.holders
                if holder is not None and holder.is_valid
            ]
        name = _name(semconv.SPAN_WAIT, lease.origin.address, lease.origin.port)
        _finish(self._start(name, lease.observed, began, attributes, links), ended, error)

    def connection_created(self, lease: Lease, connection: TrackedConnection) -> None:
        began = connection.connect_started_at or connection.created_at
        if connection.established_at - began >= self._minimum:
            self._setup(lease, connection, connection.established_at, None)

    def connection_failed(
        self, lease: Lease, connection: TrackedConnection, in_finalizer: bool
    ) -> None:
        if not in_finalizer:
            self._setup(lease, connection, lease.ended_at, lease.error)

    def _setup(
        self, lease: Lease, connection: TrackedConnection, ended: int, error: str | None
    ) -> None:
        if isinstance(lease.observed, SuppressedContext):
            return
        origin, began = connection.origin, connection.connect_started_at or connection.created_at
        name = _name(semconv.SPAN_SETUP, origin.address, origin.port)
        attributes = _attributes(lease)
        if connection.network_type is not None:
            attributes[semconv.NETWORK_TYPE] = connection.network_type
        for name_of_step, spent in zip(STEPS, by_name(connection.steps), strict=True):
            if spent >= SECOND // 1_000:
                attributes[semconv.SPAN_STEP_TIME + name_of_step] = in_seconds(spent)
        parent = self._start(name, lease.observed, began, attributes)
        connection.observed = own = parent.get_span_context()
        if connection.connect_started_at:
            address, port = connection.peer or (origin.address, origin.port)
            step = self._start(_name(semconv.SPAN_CONNECT, address, port), own, began, {})
            connected = connection.connect_ended_at
            _finish(step, connected or ended, None if connected else error)
        if connection.tls_started_at:
            protocol, _, version = (connection.tls_version or "").partition("v")
            tls: dict[str, Any] = {}
            if version:
                tls[semconv.TLS_PROTOCOL_NAME] = protocol.lower()
                tls[semconv.TLS_PROTOCOL_VERSION] = version
            name = semconv.SPAN_TLS.format(address=origin.address)
            step = self._start(name, own, connection.tls_started_at, tls)
            secured = connection.tls_ended_at
            _finish(step, secured or ended, None if secured else error)
        _finish(parent, ended, error)

    def _start(
        self,
        name: str,
        parent: trace.SpanContext | None,
        began: int,
        attributes: dict[str, Any],
        links: list[trace.Link] | None = None,
    ) -> trace.Span:
        return self._tracer.start_span(
            name,
            context=bare_context(parent),
            kind=trace.SpanKind.INTERNAL,
            attributes=attributes,
            links=links,
            start_time=_epoch(began),
        )


def _name(template: str, address: str, port: int | None) -> str:
    # Origins beyond the bound have no port.
    return template.format(address=address, port=port).removesuffix(":None")


def _without_state(holder: trace.SpanContext) -> trace.SpanContext:
    # The tracestate belongs to another caller's trace and must not be exported with this one.
    return trace.SpanContext(holder.trace_id, holder.span_id, holder.is_remote, holder.trace_flags)


def _finish(span: trace.Span, ended: int, error: str | None) -> None:
    if error is not None:
        span.set_attribute(semconv.ERROR_TYPE, error)
        if error != "cancelled":
            span.set_status(trace.Status(trace.StatusCode.ERROR))
    span.end(end_time=_epoch(ended))


def _attributes(lease: Lease) -> dict[str, Any]:
    attributes = dict(of_origin(lease.origin).base)
    call = lease.call
    if call is not None:
        # A pool can belong to one provider and serve a request of another.
        if call.provider is not None:
            attributes[semconv.PROVIDER_NAME] = semconv.registered_provider_name(call.provider)
        if call.model:
            attributes[semconv.REQUEST_MODEL] = call.model
        if call.operation:
            attributes[semconv.OPERATION_NAME] = call.operation
    return attributes


def _epoch(monotonic: int) -> int:
    """Return a time of the monotonic clock as nanoseconds since the epoch."""
    return time.time_ns() - (time.monotonic_ns() - monotonic)
