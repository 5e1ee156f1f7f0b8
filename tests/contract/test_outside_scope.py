"""The log line about requests of pools outside the scope."""

import logging
from collections.abc import Iterator

import httpx
import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.installation import instrument
from support.telemetry import Telemetry

LOGGER = "opentelemetry.instrumentation.gluellm"
OUTSIDE = "outside the scope llm"


@pytest.fixture
def scoped(untouched: Telemetry, caplog: pytest.LogCaptureFixture) -> Iterator[Telemetry]:
    """The instrumentation with its default scope, requests to LLMs."""
    caplog.set_level(logging.INFO, LOGGER)
    instrument(untouched, scope="llm")
    yield untouched
    GlueLLMInstrumentor().uninstrument()


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Log lines about requests outside the scope."""
    messages = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    return [line for line in messages if OUTSIDE in line]


def test_all_requests_outside_the_scope_are_logged_once(runner, library, server, scoped, caplog):
    """The line has their number and the setting, and is logged at a collection."""
    pool = runner.pool(library)
    for _ in range(3):
        pool.get(server.url())
    assert lines(caplog) == []
    scoped.collect()
    pool.get(server.url())
    scoped.collect()
    (line,) = lines(caplog)
    assert line.startswith(f"3 requests went through pools {OUTSIDE}, and none through a pool in")
    assert "OTEL_PYTHON_GLUELLM_SCOPE=all" in line
    assert [record.levelno for record in caplog.records if OUTSIDE in record.getMessage()] == [
        logging.INFO
    ]


def test_nothing_is_logged_if_a_pool_is_in_scope(server, scoped, caplog):
    """Pools outside the scope are then intended."""
    with httpx.Client() as inside, httpx.Client() as outside:
        GlueLLMInstrumentor.instrument_client(inside)
        inside.get(server.url())
        outside.get(server.url())
    scoped.collect()
    assert lines(caplog) == []


def test_nothing_is_logged_if_only_single_clients_are_instrumented(server, untouched, caplog):
    """There is no scope then."""
    caplog.set_level(logging.INFO, LOGGER)
    with httpx.Client() as unused, httpx.Client() as outside:
        GlueLLMInstrumentor.instrument_client(unused, meter_provider=untouched.meter_provider)
        outside.get(server.url())
        untouched.collect()
        GlueLLMInstrumentor.uninstrument_client(unused)
    assert lines(caplog) == []


def test_requests_of_exporters_are_not_logged_as_outside_the_scope(server, scoped, caplog):
    """Otherwise every program that exports over HTTP would log the line."""
    tracing = TracerProvider()
    exporter = OTLPSpanExporter(endpoint=server.url(), timeout=60)
    tracing.add_span_processor(BatchSpanProcessor(exporter))
    with tracing.get_tracer("test").start_as_current_span("span"):
        pass
    assert tracing.force_flush()
    tracing.shutdown()
    scoped.collect()
    assert server.timeline.count("request") == 1
    assert lines(caplog) == []
