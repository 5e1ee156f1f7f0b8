"""The doctor's own installation, which gives way to the program's."""

from __future__ import annotations

import os
from typing import Any

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider

from opentelemetry.instrumentation.gluellm.environment import ENVIRONMENT_PREFIX
from opentelemetry.instrumentation.gluellm.instrumentor import GlueLLMInstrumentor

LEAK_THRESHOLD = 10.0
"""Seconds, where the environment says nothing else: a run under the doctor may be a short one."""

_ENTRANCES = ("instrument", "instrument_client")


def turn_on_until_the_program_does() -> None:
    """Observe the pools, until the program itself turns the instrumentation on.

    A second ``instrument()`` is only a warning, and would lose the program's settings and
    providers. So its first one ends ours. Ours sends nothing anywhere: telemetry is the program's
    choice.
    """
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        return  # a sitecustomize did, as opentelemetry-instrument has one
    _turn_on()
    for name in _ENTRANCES:
        _intercept(name)


def _turn_on() -> None:
    settings: dict[str, Any] = {}
    if not os.environ.get(f"{ENVIRONMENT_PREFIX}LEAK_THRESHOLD", "").strip():
        settings["leak_threshold"] = LEAK_THRESHOLD
    GlueLLMInstrumentor().instrument(
        meter_provider=NoOpMeterProvider(),
        tracer_provider=NoOpTracerProvider(),
        skip_dep_check=True,
        **settings,
    )


def _intercept(name: str) -> None:
    original = vars(GlueLLMInstrumentor)[name]

    def entrance(self_or_class: Any, *arguments: Any, **settings: Any) -> Any:
        _give_way()
        try:
            return getattr(self_or_class, name)(*arguments, **settings)
        except BaseException:
            # Refused: the program goes on without, and the doctor must not.
            if not GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
                turn_on_until_the_program_does()
            raise

    entrance.__doc__ = original.__doc__
    _originals[name] = original
    replacement = classmethod(entrance) if isinstance(original, classmethod) else entrance
    setattr(GlueLLMInstrumentor, name, replacement)


_originals: dict[str, Any] = {}


def _give_way() -> None:
    while _originals:
        name, original = _originals.popitem()
        setattr(GlueLLMInstrumentor, name, original)
    if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
        GlueLLMInstrumentor().uninstrument()
