"""What the package instruments, in the form that OpenTelemetry's tools read."""

from __future__ import annotations

from typing import Final

_instruments: Final[tuple[str, ...]] = ()
"""Nothing is required: ``BaseInstrumentor`` turns an instrumentation off when one of these is
missing, and here each library is observed where it is installed. See
``docs/decisions/0001-any-of-dependencies.md``."""

_instruments_any: Final = (
    "httpx >= 0.27",
    "httpx2 >= 2.0",
    "httpcore >= 1.0.3",
    "httpcore2 >= 2.0",
    "aiohttp >= 3.11",
    "urllib3 >= 1.26",
    "grpcio >= 1.72",
)
"""Any one of these is enough. The same list is the extra ``instruments-any``, which is what
``opentelemetry-instrument`` reads."""

_supports_metrics: Final = True

_semconv_status: Final = "development"
