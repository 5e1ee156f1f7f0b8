"""The process's identity in telemetry."""

from __future__ import annotations

import os

from opentelemetry import trace

from ..identity import INSTANCE_ID, instance_id


def identity_of(provider: trace.TracerProvider | None) -> dict[str, str]:
    """Return the service's name, if it has one, and the instance of its telemetry.

    They come from the resource of a provider of the SDK, the global one by default. The API of
    metrics gives no access to it.
    """
    resource = getattr(provider or trace.get_tracer_provider(), "resource", None)
    found = getattr(resource, "attributes", {})
    service = str(found.get("service.name") or os.environ.get("OTEL_SERVICE_NAME", ""))
    known = {} if service.startswith("unknown_service") else {"service": service}
    return {**known, "instance": str(found.get(INSTANCE_ID) or instance_id())}
