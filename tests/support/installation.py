"""Turning the instrumentation on, through its public interface."""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from .telemetry import Telemetry


def instrument(telemetry: Telemetry, **settings: Any) -> None:
    """Observe every pool of the process, unless told otherwise, for these providers."""
    settings.setdefault("scope", "all")
    GlueLLMInstrumentor().instrument(
        meter_provider=telemetry.meter_provider,
        tracer_provider=telemetry.tracer_provider,
        **settings,
    )


def find_leaks_after(seconds: float) -> None:
    """Find leaks sooner than ``leak_threshold`` allows, which is 2 s at least."""
    installation: Any = GlueLLMInstrumentor._installation
    installation._watch._leak_threshold = int(seconds * 1e9)
