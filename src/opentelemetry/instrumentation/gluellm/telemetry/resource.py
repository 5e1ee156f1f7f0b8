"""The process's identity in telemetry."""

from __future__ import annotations

import os

from opentelemetry import trace


def identity_of(provider: trace.TracerProvider | None) -> dict[str, str]:
    """Return the service's name, by which people know the process; empty without a name.

    It comes from the resource of a provider of the SDK, the global one by default. The API of
    metrics gives no access to it.
    """
    resource = getattr(provider or trace.get_tracer_provider(), "resource", None)
    found = getattr(resource, "attributes", {}).get("service.name")
    service = str(found or os.environ.get("OTEL_SERVICE_NAME", ""))
    return {} if service.startswith("unknown_service") else {"service": service}
