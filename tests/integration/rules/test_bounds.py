"""The number of series of a provider stays within its budget."""

from collections.abc import Iterator

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.bench.series import ANOTHER_HOST, everything, healthy

HEALTHY, AFTER_FAILURES = 140, 290


@pytest.fixture
def scraped() -> Iterator[CollectorRegistry]:
    """Registry of a Prometheus reader for the active instrumentation."""
    reader, registry = PrometheusMetricReader(), CollectorRegistry()
    registry.register(reader._collector)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    GlueLLMInstrumentor().instrument(meter_provider=provider)
    yield registry
    GlueLLMInstrumentor().uninstrument()
    provider.shutdown()


def series(registry: CollectorRegistry) -> list[str]:
    """Return the series of pools for the tested origin."""
    lines = generate_latest(registry).decode().splitlines()
    of_pools = [line for line in lines if "gluellm_pool_name=" in line and line[0] != "#"]
    return [line for line in of_pools if ANOTHER_HOST not in line]


def test_provider_stays_within_its_series_after_every_failure(scraped):
    """It has at most 140 series while it is healthy, and 290 after every type of error."""
    pool = healthy()
    assert len(series(scraped)) <= HEALTHY
    everything()
    failed = {
        error
        for error in semconv.ERROR_TYPES
        for line in series(scraped)
        if line.startswith("gluellm_pool_requests_total")
        and f'error_type="{error}"' in line
        and not line.endswith(" 0.0")
    }
    # HTTP/1.1 connections ignore write errors, to read the server's response.
    assert failed == set(semconv.ERROR_TYPES) - {semconv.ErrorType.WRITE_ERROR}
    assert len(series(scraped)) <= AFTER_FAILURES
    pool.close()
