"""Instrumented libraries, declared in the form that OpenTelemetry's tools read."""

from __future__ import annotations

from typing import Final

_instruments: Final[tuple[str, ...]] = ()
"""Required libraries: none. ``BaseInstrumentor`` turns an instrumentation off if one of these is
missing, but this package observes whichever libraries are installed. See
``docs/maintainers/decisions/0001-any-of-dependencies.md``."""

_instruments_any: Final = (
    "httpx >= 0.27",
    "httpx2 >= 2.0",
    "httpcore >= 1.0.3",
    "httpcore2 >= 2.0",
    "aiohttp >= 3.11",
    "urllib3 >= 1.26",
    "grpcio >= 1.72",
)
"""Libraries of which at least one must be installed. The extra ``instruments-any``, which
``opentelemetry-instrument`` reads, has the same list."""

_supports_metrics: Final = True

_semconv_status: Final = "development"
