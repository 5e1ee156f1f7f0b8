"""The identity of a process, for the list of `gluellm-pools doctor`."""

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import NoOpTracerProvider

from opentelemetry.instrumentation.gluellm.identity import instance_id
from opentelemetry.instrumentation.gluellm.telemetry.resource import identity_of


@pytest.mark.parametrize(
    ("provider", "service"),
    [
        (TracerProvider(resource=Resource.create({"service.name": "checkout"})), "checkout"),
        (TracerProvider(resource=Resource({})), "of the environment"),
        (NoOpTracerProvider(), "of the environment"),
    ],
)
def test_service_is_that_of_the_resource_or_of_the_environment(provider, service, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "of the environment")
    assert identity_of(provider)["service"] == service


def test_default_of_the_sdk_is_no_name(monkeypatch):
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    monkeypatch.delenv("OTEL_RESOURCE_ATTRIBUTES", raising=False)
    assert "service" not in identity_of(TracerProvider(resource=Resource.create()))


def test_instance_is_that_of_the_resource_or_of_the_detector():
    provider = TracerProvider(resource=Resource({"service.instance.id": "pod-1"}))
    assert identity_of(provider)["instance"] == "pod-1"
    assert identity_of(TracerProvider(resource=Resource({})))["instance"] == instance_id()
