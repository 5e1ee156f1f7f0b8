"""OpenTelemetry's exporters are never observed, with any scope."""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcMetricExporter,
)
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import (
    OTLPMetricExporter as HttpMetricExporter,
)
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor

from opentelemetry.instrumentation.gluellm import diagnose, snapshot
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.network import refused_url
from support.telemetry import Telemetry
from support.waiting import wait_until


@pytest.fixture
def dead_collector() -> str:
    return refused_url().rstrip("/")


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Disable the log, since the exporters log long errors."""
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


def exporter_of(kind: str, signal: str, collector: str) -> Any:
    """Create an exporter of OpenTelemetry."""
    if kind == "grpc":
        made = GrpcMetricExporter if signal == "metrics" else GrpcExporter
        return made(endpoint=collector, insecure=True, timeout=1)
    if signal == "metrics":
        return HttpMetricExporter(endpoint=f"{collector}/v1/metrics", timeout=1)
    return HttpExporter(endpoint=f"{collector}/v1/traces", timeout=1)


def tried(exporter: Any) -> Callable[[], bool]:
    """Return a function that returns whether the exporter has tried to export and failed."""
    export, results = exporter.export, []

    def recorded(*args: Any, **kwargs: Any) -> Any:
        results.append(export(*args, **kwargs))
        return results[-1]

    exporter.export = recorded
    return lambda: bool(results) and results[0].name == "FAILURE"


def assert_nothing_is_observed(telemetry: Telemetry) -> None:
    points = telemetry.collect()
    assert not [name for name in points if name.startswith(("gluellm.pool", "http.client"))]
    now = snapshot()
    assert now.pools == ()
    assert now.totals == ()
    assert diagnose(now) == []


def begin_exporting(
    kind: str, signal: str, collector: str, stack: contextlib.ExitStack
) -> Callable[[], bool]:
    """Export a span or a metric. Return a function that returns whether that has failed."""
    exporter = exporter_of(kind, signal, collector)
    has_tried = tried(exporter)
    if signal == "metrics":
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=20)
        meters = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
        stack.callback(meters.shutdown)
        meters.get_meter("test").create_counter("count").add(1)
        return has_tried
    at_once = signal == "spans at once"
    tracers = TracerProvider(shutdown_on_exit=False)
    stack.callback(tracers.shutdown)
    tracers.add_span_processor(
        SimpleSpanProcessor(exporter)
        if at_once
        else BatchSpanProcessor(exporter, schedule_delay_millis=20)
    )
    with tracers.get_tracer("test").start_as_current_span("work"):
        pass
    return has_tried


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("signal", ["spans", "metrics"])
def test_failing_exporter_leaves_no_series_finding_or_log_line(
    kind, signal, dead_collector, instrument, stack, caplog
):
    telemetry = instrument(scope="all", leak_threshold=2)
    wait_until(begin_exporting(kind, signal, dead_collector, stack))
    assert_nothing_is_observed(telemetry)
    stack.close()
    assert_nothing_is_observed(telemetry)
    assert not [r for r in caplog.records if r.name == "opentelemetry.instrumentation.gluellm"]


@pytest.mark.parametrize("kind", ["http", "grpc"])
@pytest.mark.parametrize("scope", ["llm", "all"])
def test_exporter_inside_an_any_llm_call_is_not_observed(
    kind, scope, dead_collector, instrument, stack
):
    """A simple processor exports in the call, where other pools would count as any-llm's."""
    telemetry = instrument(scope=scope)
    token = current_call.set(Call("openai"))
    has_tried = begin_exporting(kind, "spans at once", dead_collector, stack)
    current_call.reset(token)
    assert has_tried()
    assert_nothing_is_observed(telemetry)


def test_exporter_is_not_observed_beside_the_applications_requests(
    server, dead_collector, instrument, stack
):
    """The application's requests with the same library count, suppressed or not."""
    requests = pytest.importorskip("requests")
    telemetry = instrument(scope="all")
    has_tried = begin_exporting("http", "spans", dead_collector, stack)
    with requests.Session() as session:
        session.get(server.url())
        with suppress_instrumentation():
            thread = threading.Thread(target=session.get, args=(server.url(),))
            session.get(server.url())
        thread.start()
        thread.join()
    wait_until(has_tried)
    assert telemetry.by(semconv.REQUESTS, "library", "error") == {("urllib3", None): 3}
