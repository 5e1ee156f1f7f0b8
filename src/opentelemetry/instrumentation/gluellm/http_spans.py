"""Turning opentelemetry-instrumentation-httpx on beside us, and only that off again."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from typing import Any

_logger = logging.getLogger("opentelemetry.instrumentation.gluellm")

_INSTRUMENTORS = (("httpx2", "HTTPX2ClientInstrumentor"), ("httpx", "HTTPXClientInstrumentor"))
_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


class HttpSpans:
    """The instrumentors of httpx and httpx2 that we turned on."""

    def __init__(self) -> None:
        self._turned_on: list[Any] = []

    def install(self, *, tracer_provider: Any, meter_provider: Any) -> None:
        """Turn on what is there, is not disabled by name, and is not on already.

        Under auto-instrumentation the loader does so itself.
        """
        if _auto_instrumentation():
            return
        try:
            package = importlib.import_module("opentelemetry.instrumentation.httpx")
        except ImportError:
            _logger.warning(
                "http_spans needs opentelemetry-instrumentation-httpx; install it with "
                "pip install 'opentelemetry-instrumentation-gluellm[http]'"
            )
            return
        seen: set[int] = set()
        for library, name in _INSTRUMENTORS:
            if library in _disabled() or importlib.util.find_spec(library) is None:
                continue
            # httpx2.alias_httpx() makes both names one module: once is enough.
            module = importlib.import_module(library)
            instrumentor_class = getattr(package, name, None)
            if id(module) in seen:
                continue
            seen.add(id(module))
            if instrumentor_class is None:
                _logger.warning(
                    "http_spans leaves %s out: the installed opentelemetry-instrumentation-httpx "
                    "does not know it",
                    library,
                )
                continue
            instrumentor = instrumentor_class()
            if instrumentor.is_instrumented_by_opentelemetry:
                continue
            instrumentor.instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)
            if instrumentor.is_instrumented_by_opentelemetry:
                self._turned_on.append(instrumentor)

    def uninstall(self) -> None:
        """Turn off what :meth:`install` turned on."""
        while self._turned_on:
            instrumentor = self._turned_on.pop()
            if instrumentor.is_instrumented_by_opentelemetry:
                instrumentor.uninstrument()


def _disabled() -> set[str]:
    return {name.strip() for name in os.environ.get(_DISABLED, "").split(",") if name.strip()}


def _auto_instrumentation() -> bool:
    # The loader is imported by opentelemetry-instrument's sitecustomize, and by nothing else.
    return "opentelemetry.instrumentation.auto_instrumentation._load" in sys.modules
