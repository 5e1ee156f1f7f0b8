"""Turning the instrumentation on, through its public interface."""

import contextlib
from collections.abc import Iterator
from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from .telemetry import Telemetry


def instrument(telemetry: Telemetry, **settings: Any) -> None:
    """Instrument with these providers, by default for all pools of the process."""
    settings.setdefault("scope", "all")
    GlueLLMInstrumentor().instrument(
        meter_provider=telemetry.meter_provider,
        tracer_provider=telemetry.tracer_provider,
        **settings,
    )


@contextlib.contextmanager
def in_memory(telemetry: Telemetry | None = None) -> Iterator[Telemetry]:
    """Providers in memory; the instrumentation is off again after the block."""
    telemetry = telemetry or Telemetry()
    try:
        yield telemetry
    finally:
        if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
            GlueLLMInstrumentor().uninstrument()
        telemetry.shutdown()


@contextlib.contextmanager
def instrumented(telemetry: Telemetry | None = None, **settings: Any) -> Iterator[Telemetry]:
    """Instrument until the block ends, and report to providers in memory."""
    with in_memory(telemetry) as made:
        instrument(made, **settings)
        yield made


def installed() -> Any:
    """The installation that ``instrument()`` made."""
    installation = GlueLLMInstrumentor._installation
    assert installation is not None, "not instrumented"
    return installation
