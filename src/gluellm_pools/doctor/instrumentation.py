"""Instrumentation of a program from outside, until the program instruments itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import wrapt
from opentelemetry.instrumentation.utils import unwrap
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from opentelemetry.instrumentation.gluellm.instrumentor import GlueLLMInstrumentor, Settings

_active = False
"""Whether the instrumentation of this module is on."""
_settings: Settings = {}
_WRAPPED = ("instrument", "instrument_client")


def instrument_until_program_does(**settings: Unpack[Settings]) -> None:
    """Observe the pools, and end that when the program calls ``instrument()``.

    A second ``instrument()`` only warns, so the program's settings and providers would be lost.
    This instrumentation exports nothing: telemetry is the program's choice.
    """
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        return  # by a sitecustomize module, such as that of opentelemetry-instrument
    providers: Settings = {
        "meter_provider": NoOpMeterProvider(),
        "tracer_provider": NoOpTracerProvider(),
    }
    _settings.update({**settings, **providers, "skip_dep_check": True})
    _instrument()
    for name in _WRAPPED:
        wrapt.wrap_function_wrapper(GlueLLMInstrumentor, name, _give_way)


def end() -> None:
    """Undo it. The program's own instrumentation stays."""
    global _active
    if _active:
        _active = False
        GlueLLMInstrumentor().uninstrument()
    for name in _WRAPPED:
        unwrap(GlueLLMInstrumentor, name)


def _instrument() -> None:
    global _active
    GlueLLMInstrumentor().instrument(**_settings)
    _active = True


def _give_way(
    wrapped: Callable[..., Any], _instance: object, arguments: Any, settings: dict[str, Any]
) -> Any:
    global _active
    if not _active:
        return wrapped(*arguments, **settings)
    _active = False
    GlueLLMInstrumentor().uninstrument()
    try:
        return wrapped(*arguments, **settings)
    except BaseException:
        _instrument()  # the program goes on without its own
        raise
