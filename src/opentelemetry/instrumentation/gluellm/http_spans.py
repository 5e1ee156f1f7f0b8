"""The setting ``http_spans``: turn on OpenTelemetry's own HTTP and gRPC instrumentations.

Uninstalling turns off only those that were turned on here.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from typing import Any

from .failures import warn
from .text import where_it_failed

_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


@dataclass(frozen=True, slots=True)
class _Instrumentation:
    """One of OpenTelemetry's instrumentors."""

    library: str
    """The library's module."""
    package: str
    """The instrumentor's package below ``opentelemetry.instrumentation``."""
    instrumentor: str
    """Name of the instrumentor's class."""
    name: str
    """The entry point's name, as in ``OTEL_PYTHON_DISABLED_INSTRUMENTATIONS``."""
    needed: bool = False
    """Whether to warn if it is not installed."""


_MISSING = (
    "http_spans needs opentelemetry-instrumentation-%s; install it with "
    "pip install 'opentelemetry-instrumentation-gluellm[http]'"
)
_UNSUPPORTED = (
    "http_spans does not include %s: the installed opentelemetry-instrumentation-%s does not "
    "support it"
)
_FAILED = "http_spans could not turn the instrumentation of %s on or off: %s"
# Most providers use httpx or httpx2, so http_spans without their instrumentation is a mistake. The
# others are optional.
_INSTRUMENTATIONS = (
    _Instrumentation("httpx2", "httpx", "HTTPX2ClientInstrumentor", "httpx2", needed=True),
    _Instrumentation("httpx", "httpx", "HTTPXClientInstrumentor", "httpx", needed=True),
    _Instrumentation("aiohttp", "aiohttp_client", "AioHttpClientInstrumentor", "aiohttp-client"),
    _Instrumentation("urllib3", "urllib3", "URLLib3Instrumentor", "urllib3"),
    _Instrumentation("grpc", "grpc", "GrpcInstrumentorClient", "grpc_client"),
    _Instrumentation("grpc", "grpc", "GrpcAioInstrumentorClient", "grpc_aio_client"),
)


class HttpSpans:
    """The OpenTelemetry instrumentors that one installation turned on."""

    def __init__(self, **providers: Any) -> None:
        self._providers = providers
        self._turned_on: list[Any] = []

    def install(self) -> None:
        """Turn on each instrumentor that is installed, not disabled by name and not already on.

        Does nothing under auto-instrumentation, whose loader turns them on.
        """
        # Only the sitecustomize of opentelemetry-instrument imports the loader.
        if "opentelemetry.instrumentation.auto_instrumentation._load" in sys.modules:
            return
        disabled = {name.strip() for name in os.environ.get(_DISABLED, "").split(",")}
        seen: dict[int, str] = {}
        missing: dict[str, None] = {}
        for wanted in _INSTRUMENTATIONS:
            if wanted.name in disabled or not _is_there(wanted.library):
                continue
            if not _is_there(f"opentelemetry.instrumentation.{wanted.package}"):
                if wanted.needed:
                    missing[wanted.package] = None
                continue
            try:
                # After httpx2.alias_httpx() both names are one module: instrument it once.
                module = importlib.import_module(wanted.library)
                if seen.setdefault(id(module), wanted.library) == wanted.library:
                    self._turn_on(wanted)
            except Exception as error:
                warn(_FAILED, wanted.library, where_it_failed(error))
        for package in missing:
            warn(_MISSING, package)

    def _turn_on(self, wanted: _Instrumentation) -> None:
        package = importlib.import_module(f"opentelemetry.instrumentation.{wanted.package}")
        instrumentor_class = getattr(package, wanted.instrumentor, None)
        if instrumentor_class is None:
            warn(_UNSUPPORTED, wanted.library, wanted.package.replace("_", "-"))
            return
        instrumentor = instrumentor_class()
        if not instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.instrument(**self._providers)
            if instrumentor.is_instrumented_by_opentelemetry:
                self._turned_on.append(instrumentor)

    def uninstall(self) -> None:
        """Turn off what :meth:`install` turned on."""
        while self._turned_on:
            instrumentor = self._turned_on[-1]
            try:
                if instrumentor.is_instrumented_by_opentelemetry:
                    instrumentor.uninstrument()
            except Exception as error:
                warn(_FAILED, type(instrumentor).__name__, where_it_failed(error))
            # Removed last: if a signal handler raises above, the next call finishes the work.
            if instrumentor in self._turned_on:
                self._turned_on.remove(instrumentor)


def _is_there(library: str) -> bool:
    try:
        return importlib.util.find_spec(library) is not None
    except ValueError:  # a module without __spec__ in sys.modules
        return False
