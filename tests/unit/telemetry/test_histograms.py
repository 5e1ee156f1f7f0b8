"""Which durations are recorded, once each, and with which attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.pool.lease import Lease, TrackedConnection
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.histograms import DurationObserver
from opentelemetry.instrumentation.gluellm.telemetry.instruments import (
    MeterInstruments,
    of_provider,
)
from unit.pool.fakes import Scene

Recorded = tuple[float, dict[str, Any]]
"""A histogram's sum, and its attributes without those of the pool and origin."""


class Measured:
    """A scene whose durations are recorded in a real SDK."""

    def __init__(self, reader: InMemoryMetricReader, provider: MeterProvider, **settings: bool):
        instruments = of_provider(provider)
        defaults = {"full": False, "model_attributes": False, "time_in_queue": False}
        self.observer = DurationObserver(instruments, **{**defaults, **settings})
        self.scene = Scene(self.observer, ledgers=instruments.ledgers)
        self._reader = reader

    def of(self, metric: semconv.Metric) -> list[Recorded]:
        """What one histogram has recorded. Every value is a point of its own, or is counted."""
        self.observer.drain.all()
        data = self._reader.get_metrics_data()
        points = [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for found in scope.metrics
            if found.name == metric.name
            for point in found.data.data_points
        ]
        base = {semconv.POOL_NAME, semconv.POOL_LIBRARY, semconv.PROVIDER_NAME}
        base |= {semconv.SERVER_ADDRESS, semconv.SERVER_PORT}
        assert all(getattr(point, "count", 0) == 1 for point in points)
        return [
            (
                round(getattr(point, "sum", 0.0), 6),
                {key: value for key, value in (point.attributes or {}).items() if key not in base},
            )
            for point in points
        ]

    def answered(self, connection: TrackedConnection | None = None) -> Lease:
        """A request that has waited for 2 s and was answered 1 s later."""
        scene = self.scene
        lease = scene.enter()
        scene.tracker.waiting(lease)
        scene.clock.advance(2)
        scene.tracker.assigned(lease, connection or scene.connection(established=True))
        scene.clock.advance(1)
        scene.tracker.answered(lease, 200)
        return lease


Measure = Callable[..., Measured]


@pytest.fixture
def measure() -> Iterator[Measure]:
    """Makes scenes whose durations are recorded."""
    providers = []

    def make(**settings: bool) -> Measured:
        reader = InMemoryMetricReader()
        provider = MeterProvider([reader], shutdown_on_exit=False)
        providers.append(provider)
        return Measured(reader, provider, **settings)

    yield make
    for provider in providers:
        provider.shutdown()


def test_acquire_is_recorded_at_the_answer_and_the_lease_at_its_end(measure: Measure) -> None:
    """Once each, however often the lease is drained in between."""
    measured = measure()
    lease = measured.answered()
    assert measured.of(semconv.ACQUIRE_DURATION) == [(2.0, {})]
    assert measured.of(semconv.LEASE_DURATION) == []
    measured.scene.clock.advance(3)
    measured.scene.tracker.released(lease)
    for _ in range(2):
        assert measured.of(semconv.ACQUIRE_DURATION) == [(2.0, {})]
        assert measured.of(semconv.LEASE_DURATION) == [(4.0, {})]
    assert measured.scene.origin.requests[200, None, False] == 1


@pytest.mark.parametrize(
    ("error", "reported"),
    [("pool_timeout", "pool_timeout"), ("cancelled", "cancelled"), ("read_error", "_OTHER")],
)
def test_request_without_a_connection_records_only_its_wait(
    measure: Measure, error: str, reported: str
) -> None:
    measured = measure()
    lease = measured.scene.enter()
    measured.scene.tracker.waiting(lease)
    measured.scene.clock.advance(5)
    measured.scene.tracker.failed(lease, error)
    assert measured.of(semconv.ACQUIRE_DURATION) == [(5.0, {semconv.ERROR_TYPE: reported})]
    assert measured.of(semconv.LEASE_DURATION) == []


def test_unknown_durations_are_not_recorded(measure: Measure) -> None:
    """Those of a call that gRPC sends later, and of a response whose close is not reported."""
    measured = measure()
    connection = measured.scene.connection(established=True)
    connection.reports_release = False
    lease = measured.answered(connection)
    lease.acquire_known = False
    measured.scene.tracker.released(lease)
    assert measured.of(semconv.ACQUIRE_DURATION) == measured.of(semconv.LEASE_DURATION) == []
    assert measured.scene.origin.requests[200, None, False] == 1


def test_time_in_queue_has_only_requests_that_queued(measure: Measure) -> None:
    measured = measure(time_in_queue=True)
    measured.scene.serve(measured.scene.acquire())
    assert measured.of(semconv.REQUEST_TIME_IN_QUEUE) == []
    measured.answered()
    assert measured.of(semconv.REQUEST_TIME_IN_QUEUE) == [(2.0, {})]


def test_model_and_operation_are_attributes_when_requested(measure: Measure) -> None:
    """Of the acquire and the lease; a request outside any-llm calls has neither."""
    call = Call("openai", "gpt", "completion")
    own = {semconv.REQUEST_MODEL: "gpt", semconv.OPERATION_NAME: "completion"}
    for model_attributes, expected in ((True, own), (False, {})):
        measured = measure(model_attributes=model_attributes)
        scene = measured.scene
        lease = scene.enter(call)
        scene.tracker.assigned(lease, scene.connection(established=True))
        scene.clock.advance(1)
        scene.serve(lease)
        assert measured.of(semconv.ACQUIRE_DURATION) == [(0.0, expected)]
        assert measured.of(semconv.LEASE_DURATION) == [(1.0, expected)]


@pytest.mark.parametrize("full", [True, False])
def test_full_metrics_record_parts_of_a_request(measure: Measure, full: bool) -> None:
    """The wait for the head, from when the request was sent, and for an HTTP/2 stream."""
    measured = measure(full=full)
    scene = measured.scene
    lease = scene.enter()
    scene.tracker.assigned(lease, scene.connection(established=True, protocol="2"))
    scene.clock.advance(2)
    lease.sent_at = scene.clock()
    lease.streaming = True
    scene.clock.advance(3)
    scene.serve(lease)
    http2 = {semconv.PROTOCOL_VERSION: "2"}
    assert measured.of(semconv.RESPONSE_WAIT_DURATION) == ([(3.0, {})] if full else [])
    assert measured.of(semconv.STREAM_ACQUIRE_DURATION) == ([(2.0, http2)] if full else [])
    streaming = {semconv.RESPONSE_STREAMING: True} if full else {}
    assert measured.of(semconv.LEASE_DURATION) == [(5.0, streaming)]


@pytest.mark.parametrize("full", [True, False])
def test_set_up_of_a_connection_is_recorded(measure: Measure, full: bool) -> None:
    """Its TLS handshake, its life and its requests only with full metrics."""
    measured = measure(full=full)
    scene = measured.scene
    connection = scene.connection()
    lease = scene.enter()
    scene.tracker.assigned(lease, connection)
    connection.connect_started_at = scene.clock()
    scene.clock.advance(1)
    connection.tls_started_at = scene.clock()
    scene.clock.advance(2)
    connection.tls_ended_at = scene.clock()
    scene.tracker.established(connection, "1.1")
    assert measured.of(semconv.CONNECTION_CREATE_DURATION) == [(3.0, {})]
    scene.clock.advance(4)
    scene.serve(lease)
    connection.close("evicted")
    http1 = {semconv.PROTOCOL_VERSION: "1.1"}
    assert measured.of(semconv.CONNECTION_TLS_DURATION) == ([(2.0, {})] if full else [])
    assert measured.of(semconv.CONNECTION_DURATION) == ([(4.0, http1)] if full else [])
    assert measured.of(semconv.CONNECTION_REQUESTS) == ([(1.0, {})] if full else [])


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        ("secure_connection_error", "secure_connection_error"),
        ("no_local_ports", "connection_error"),
    ],
)
def test_failed_set_up_is_recorded_with_one_of_few_errors(
    measure: Measure, error: str, reported: str
) -> None:
    """Every error has a histogram of its own for each origin."""
    measured = measure(full=True)
    scene = measured.scene
    connection = scene.connection()
    lease = scene.enter()
    scene.tracker.assigned(lease, connection)
    connection.connect_started_at = scene.clock()
    scene.clock.advance(1)
    connection.tls_started_at = scene.clock()
    scene.clock.advance(1)
    scene.tracker.failed(lease, error)
    create, tls = semconv.CONNECTION_CREATE_DURATION, semconv.CONNECTION_TLS_DURATION
    assert measured.of(create) == [(2.0, {semconv.ERROR_TYPE: reported})]
    assert measured.of(tls) == [(1.0, {semconv.ERROR_TYPE: error})]


def test_outcomes_are_counted_without_an_sdk() -> None:
    """Durations are not computed then, and are not recorded later."""
    instruments = MeterInstruments(NoOpMeter("test"))
    observer = DurationObserver(
        instruments, full=False, model_attributes=False, time_in_queue=False
    )
    scene = Scene(observer, ledgers=instruments.ledgers)
    lease = scene.acquire()
    scene.serve(lease)
    observer.drain.all()
    assert (lease.recorded, scene.origin.requests[200, None, False]) == (2, 1)
    assert scene.origin.attributes is None
