"""Whatever of ours or of OpenTelemetry's breaks, the user's requests are untouched."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.pool.observer import PoolObserver
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.metrics import DurationObserver
from opentelemetry.instrumentation.gluellm.telemetry.spans import SpanObserver
from support.clients import Runner
from support.http1 import HTTP1Server
from support.libraries import Library
from support.script import Reply

from .conftest import EVERYWHERE

LOGGER = semconv.SCOPE_NAME
EVENTS = [name for name in vars(PoolObserver) if not name.startswith("_")]


@pytest.fixture(autouse=True)
def off() -> Iterator[None]:
    """The instrumentation is off when a test is over."""
    yield
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()


def fail(*args: Any, **kwargs: Any) -> Any:
    """What breaks."""
    raise RuntimeError("sk-secret")


def requests(runner: Runner, library: Library, server: HTTP1Server) -> None:
    """One of each kind: new, reused, waiting, timed out, refused, and the pool's end."""
    pool = runner.pool(library, max_connections=1)
    pool.get(server.url())
    pool.get(server.url())
    gate = server.gate()
    held = pool.send(server.reply("/held", Reply(end_after=gate)))
    assert held.head() == 200
    late = pool.send(server.url(), pool=0.02)
    assert isinstance(late.failure(), library.raises("pool_timeout"))
    waiting = pool.send(server.url())
    gate.open()
    assert held.read() == b"ok"
    assert waiting.head() == 200
    assert waiting.read() == b"ok"
    pool.close()
    refused = runner.pool(library).send("http://127.0.0.1:9")
    assert isinstance(refused.failure(), library.raises("connection_error"))


@EVERYWHERE
@pytest.mark.parametrize("observer", [DurationObserver, SpanObserver])
def test_raising_observer_leaves_requests_untouched(
    runner, library, server, instrument, monkeypatch, caplog, observer
):
    """It fails at every event: each is counted by kind, told once, and the other observer works."""
    overridden = [event for event in EVENTS if event in vars(observer)]
    for event in overridden:
        monkeypatch.setattr(observer, event, fail)
    telemetry = instrument(span_min_duration=0)
    with caplog.at_level(logging.WARNING, logger=LOGGER):
        requests(runner, library, server)
        errors = {
            point.attributes[semconv.INSTRUMENTATION_KIND]: point.value
            for point in telemetry.points(semconv.INSTRUMENTATION_ERRORS)
        }
        telemetry.collect()
    assert errors
    assert set(errors) <= {f"observer.{event}" for event in overridden}
    warnings = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert len(warnings) == len(errors)
    assert not any("secret" in message for message in warnings)
    if observer is SpanObserver:
        assert telemetry.count(semconv.LEASE_DURATION) == 5
    else:
        assert telemetry.spans()
    assert telemetry.value(semconv.REQUESTS, status=200) == 4


class RaisingExporter(MetricExporter):
    """A back end that is gone."""

    def export(self, metrics_data: Any, *args: Any, **kwargs: Any) -> MetricExportResult:
        raise RuntimeError

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        pass


class RaisingReader(MetricReader):
    """One whose own code fails."""

    def _receive_metrics(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        pass


class RaisingSpanExporter(SpanExporter):
    """Raises in the thread that ends the span, since the processor is a simple one."""

    def export(self, spans: Any) -> SpanExportResult:
        raise RuntimeError


@EVERYWHERE
def test_raising_exporter_leaves_requests_untouched(runner, library, server):
    """For metrics and for spans; a healthy reader beside it sees all."""
    healthy = InMemoryMetricReader()
    meters = MeterProvider(
        metric_readers=[
            PeriodicExportingMetricReader(RaisingExporter(), export_interval_millis=20),
            healthy,
        ],
        shutdown_on_exit=False,
    )
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(RaisingSpanExporter()))
    GlueLLMInstrumentor().instrument(
        scope="all", meter_provider=meters, tracer_provider=tracers, span_min_duration=0
    )
    requests(runner, library, server)
    data = healthy.get_metrics_data()
    assert data is not None
    assert '"gluellm.pool.lease.duration"' in data.to_json()
    GlueLLMInstrumentor().uninstrument()
    meters.shutdown()


def test_raising_reader_leaves_requests_and_other_readers_untouched(threads, library, server):
    """Its collection fails where it was asked for, nowhere else, and loses nothing of ours."""
    raising, healthy = RaisingReader(), InMemoryMetricReader()
    meters = MeterProvider(metric_readers=[raising, healthy], shutdown_on_exit=False)
    GlueLLMInstrumentor().instrument(scope="all", meter_provider=meters)
    for _ in range(2):
        requests(threads, library, server)
        with pytest.raises(RuntimeError):
            raising.collect()
    data = healthy.get_metrics_data()
    assert data is not None
    leases = [
        point.count
        for scope in data.resource_metrics[0].scope_metrics
        for metric in scope.metrics
        if metric.name == semconv.LEASE_DURATION.name
        for point in metric.data.data_points
    ]
    assert sum(leases) == 10
    GlueLLMInstrumentor().uninstrument()
    meters.shutdown()


def test_histogram_that_raises_leaves_requests_and_uninstrument_untouched(
    threads, library, server, instrument
):
    """A view's own reservoir or aggregation can raise while our records are written."""
    telemetry = instrument()
    installation = GlueLLMInstrumentor._installation
    assert installation is not None
    histograms = installation._instruments._histograms
    for histogram in histograms.values():
        histogram.record = fail
    try:
        requests(threads, library, server)
        points = telemetry.collect()
        # The snapshot is there all the same.
        assert sum(p.value for p in points[semconv.REQUESTS.name]) >= 5
        assert telemetry.value(semconv.INSTRUMENTATION_ERRORS) >= 1
        requests(threads, library, server)
        GlueLLMInstrumentor().uninstrument()
        assert semconv.POOL_LIVE.name not in telemetry.collect()
    finally:
        for histogram in histograms.values():
            del histogram.record


@EVERYWHERE
def test_no_sdk_at_all(runner, library, server, caplog):
    """With nothing but the API every provider does nothing, and so do we: no warning either."""
    GlueLLMInstrumentor().instrument(scope="all", span_min_duration=0)
    requests(runner, library, server)
    GlueLLMInstrumentor().uninstrument()
    assert [r for r in caplog.records if r.name.startswith("opentelemetry")] == []
