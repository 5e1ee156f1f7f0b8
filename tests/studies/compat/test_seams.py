"""A version of httpcore that lacks what the adapter rests on. Run by nox, which installs one."""

from __future__ import annotations

import logging
from importlib.metadata import PackageNotFoundError, version

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from packaging.version import Version

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm.telemetry import semconv

LOGGER = "opentelemetry.instrumentation.gluellm"


def lacks_seams() -> bool:
    """httpcore 1.0.3 brought the pool that the adapter knows."""
    try:
        return Version(version("httpcore")) < Version("1.0.3")
    except PackageNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not lacks_seams(), reason="the installed httpcore has the seams")


def test_missing_seams_are_told_and_requests_go_on(caplog: pytest.LogCaptureFixture) -> None:
    """One warning a seam with the version, the metric says 0, and nothing else changes."""
    import httpx

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    with caplog.at_level(logging.WARNING, LOGGER):
        GlueLLMInstrumentor().instrument(meter_provider=provider, scope="all")
    try:
        with FakeProviderThread() as server, httpx.Client() as client:
            for _ in range(2):
                assert client.get(f"{server.openai_url}/models").status_code == 200
        data = reader.get_metrics_data()
    finally:
        GlueLLMInstrumentor().uninstrument()
        provider.shutdown()
    assert data is not None
    metrics = {
        metric.name: list(metric.data.data_points)
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    seams = {
        point.attributes[semconv.SEAM_NAME]: point.value
        for point in metrics[semconv.SEAM.name]
        if point.attributes[semconv.POOL_LIBRARY] == "httpx"
    }
    missing = {name for name, works in seams.items() if not works}
    assert "request" in missing
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == len(missing)
    for name in missing:
        (message,) = [text for text in warned if f"'{name}'" in text]
        assert version("httpcore") in message
    assert semconv.LEASE_DURATION.name not in metrics
