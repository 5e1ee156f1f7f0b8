"""Canaries, ears for everything that comes out, and the instrumentation with all of it on."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.clients import Runner

from .canaries import Canaries
from .places import BothReaders, Ears, Places

EVERYTHING: dict[str, Any] = {
    "scope": "all",
    "metrics": "full",
    "span_min_duration": 0,
    "time_in_queue": True,
    "leak_threshold": 2,
    "leak_stacks": True,
}
"""Every setting that makes it tell more, but for the model on metrics."""

Record = Callable[[str, object], None]


@pytest.fixture
def canaries() -> Canaries:
    """None planted yet."""
    return Canaries()


@pytest.fixture
def places(request: pytest.FixtureRequest) -> Iterator[Places]:
    """The instrumentation on, and everything that it tells kept; ``settings`` may be given."""
    telemetry = BothReaders()
    with Ears() as ears, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        GlueLLMInstrumentor().instrument(
            meter_provider=telemetry.meter_provider,
            tracer_provider=telemetry.tracer_provider,
            **{**EVERYTHING, **getattr(request, "param", {})},
        )
        try:
            yield Places(telemetry, ears, warned)
        finally:
            if GlueLLMInstrumentor().is_instrumented_by_opentelemetry:
                GlueLLMInstrumentor().uninstrument()
            telemetry.shutdown()


@pytest.fixture
def start_runner() -> Iterator[Callable[[str], Runner]]:
    """Runners by mode, closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda mode: stack.enter_context(Runner.start(mode))


ALLOWED = {
    # A span is its trace's, and the SDK gives each span the tracestate of its parent: samplers rest
    # on it. What is kept is the context that the spans and exemplars of a request get.
    "tracestate": ("spans", "spans in OTLP", "what the package keeps"),
    # docs/diagnosis.md: "A warning names the pool, provider, model, the trace, GlueLLM's
    # correlation id where there is one, and the first frame outside libraries of the call".
    "GlueLLM's correlation id": ("log", "snapshot", "report", "what the package keeps", "notes"),
    # docs/metrics.md: "The model as any-llm was called with it. By opt-in on metrics."
    "a model's name": (
        "log",
        "snapshot",
        "findings",
        "report",
        "what the package keeps",
        "notes",
        "spans",
    ),
}
"""Where the docs let something out: the canary's place, and the beginnings of where it may be."""


def assert_none_found(canaries: Canaries, places: Places, record_property: Record) -> None:
    """No canary anywhere but where the docs let it out."""
    found = [
        f"{where}: {what}"
        for where, text in places.texts.items()
        for planted, what in canaries.found_in(text)
        if not where.startswith(ALLOWED.get(planted, ("nowhere",)))
    ]
    record_property("canaries planted", len(canaries.planted))
    record_property("canaries found", len(found))
    record_property("places searched", len(places.texts))
    record_property("largest text searched in characters", max(map(len, places.texts.values())))
    assert not found, "\n".join(found)
