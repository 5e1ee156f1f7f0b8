"""Instrumentation of a program that runs under the doctor, until the program instruments itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from opentelemetry.instrumentation.gluellm.instrumentor import GlueLLMInstrumentor

_active = False
"""Whether the doctor's own instrumentation is on."""


def instrument_until_program_does() -> None:
    """Observe the pools, and end that when the program calls ``instrument()``.

    A second ``instrument()`` only warns, so the program's settings and providers would be lost. The
    doctor's own instrumentation exports nothing: telemetry is the program's choice.
    """
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        return  # by a sitecustomize module, such as that of opentelemetry-instrument
    _instrument()
    for name in ("instrument", "instrument_client"):
        wrapt.wrap_function_wrapper(GlueLLMInstrumentor, name, _give_way)


def _instrument() -> None:
    global _active
    GlueLLMInstrumentor().instrument(
        meter_provider=NoOpMeterProvider(),
        tracer_provider=NoOpTracerProvider(),
        skip_dep_check=True,
    )
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
