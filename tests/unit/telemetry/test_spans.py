"""Spans of waits and set-ups: times, parents, attributes and errors."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags, use_span

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.entry import SuppressedContext
from opentelemetry.instrumentation.gluellm.telemetry.spans import SpanObserver, tracer_of
from support.telemetry import Telemetry
from unit.pool.fakes import Scene

MINIMUM = 0.1
CALLER = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class Traced(Telemetry):
    """A scene whose spans are kept."""

    def __init__(self) -> None:
        super().__init__()
        self.scene = Scene(SpanObserver(tracer_of(self.tracer_provider), MINIMUM))


@pytest.fixture
def traced() -> Iterator[Traced]:
    made = Traced()
    yield made
    made.shutdown()


def took(span: ReadableSpan) -> float:
    """Seconds from its start to its end."""
    return round((span.end_time - span.start_time) / 1e9, 2)


# Waits


def test_wait_of_at_least_the_minimum_has_a_span(traced):
    """It is the child of the caller's span, and lasts from the entry to the assignment."""
    scene = traced.scene
    for seconds in (MINIMUM / 2, 2):
        assert traced.spans() == []
        lease = scene.enter()
        lease.observed = CALLER
        scene.tracker.waiting(lease)
        scene.clock.advance(seconds)
        scene.tracker.assigned(lease, scene.connection(established=True))
        scene.clock.advance(1)
        scene.tracker.answered(lease, 200)
    (span,) = traced.spans()
    assert (span.parent.trace_id, span.parent.span_id) == (1, 2)
    assert took(span) == 2.0


def test_finalizers_and_suppressed_requests_make_no_spans(traced):
    """A finalizer may run inside the SDK's locks."""
    scene = traced.scene
    for suppressed in (False, True):
        lease = scene.enter()
        connection = scene.connection()
        scene.tracker.assigned(lease, connection)
        connection.connect_started_at = scene.clock()
        if suppressed:
            lease.observed = SuppressedContext(*CALLER[:3], trace_flags=CALLER.trace_flags)
        scene.clock.advance(1)
        scene.tracker.failed(lease, "cancelled", in_finalizer=not suppressed)
        waiting = scene.enter()
        waiting.observed = lease.observed
        scene.tracker.waiting(waiting)
        scene.tracker.failed(waiting, "cancelled", in_finalizer=not suppressed)
    assert traced.spans() == []


# Set-ups


def test_set_up_has_a_span_with_its_steps(traced):
    scene = traced.scene
    connection, lease = scene.connection(), scene.enter()
    lease.observed = CALLER
    scene.tracker.assigned(lease, connection)
    connection.connect_started_at = scene.clock()
    connection.peer = ("proxy.test", 3128)
    scene.clock.advance(1)
    connection.connect_ended_at = connection.tls_started_at = scene.clock()
    scene.clock.advance(2)
    connection.tls_ended_at = scene.clock()
    connection.tls_version = "TLSv1.3"
    scene.tracker.established(connection, "1.1")
    connect, tls, setup = traced.spans()
    assert [span.name for span in traced.spans()] == [
        semconv.SPAN_CONNECT.format(address="proxy.test", port=3128),
        semconv.SPAN_TLS.format(address="api.test"),
        semconv.SPAN_SETUP.format(address="api.test", port=443),
    ]
    assert [took(span) for span in (connect, tls, setup)] == [1.0, 2.0, 3.0]
    assert connect.parent == tls.parent == setup.context == connection.observed
    assert setup.parent.span_id == CALLER.span_id
    assert tls.attributes == {semconv.TLS_PROTOCOL_NAME: "tls", semconv.TLS_PROTOCOL_VERSION: "1.3"}
    assert all(span.status.status_code is StatusCode.UNSET for span in traced.spans())


# The caller's span, and the tracer


def test_clients_span_gets_the_wait_and_whether_the_connection_was_reused(traced):
    """It is a CLIENT span of another instrumentation, in which the request entered.

    An SDK's retry under the same span adds its own wait.
    """
    tracer = traced.tracer_provider.get_tracer("http client")
    for entered_inside in (True, False):
        span = tracer.start_span("GET", kind=SpanKind.CLIENT)
        with use_span(span):
            scene = traced.scene
            for wait in (MINIMUM / 2, 0):
                lease = scene.enter()
                lease.in_client_span = entered_inside
                scene.tracker.waiting(lease)
                scene.clock.advance(wait)
                connection = scene.connection(established=entered_inside)
                scene.tracker.assigned(lease, connection)
                scene.tracker.established(connection, "1.1")
                scene.tracker.answered(lease, 200)
        span.end()
        expected = {semconv.CONNECTION_REUSED: True, semconv.SPAN_ACQUIRE_DURATION: MINIMUM / 2}
        assert (traced.spans()[-1].attributes or {}) == (expected if entered_inside else {})
