"""Fixtures: canaries, and the instrumentation with all its output collected."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.clients import Runner
from support.installation import instrumented

from .places import BothReaders, Canaries, LogCapture, Places

EVERYTHING: dict[str, Any] = {
    "scope": "all",
    "metrics": "full",
    "span_min_duration": 0,
    "time_in_queue": True,
    "leak_threshold": 2,
    "leak_stacks": True,
}
"""All settings that record more, except for the model on metrics."""


@pytest.fixture
def canaries() -> Canaries:
    """Canaries, of which none is planted yet."""
    return Canaries()


@pytest.fixture
def places(request: pytest.FixtureRequest, canaries: Canaries) -> Iterator[Places]:
    """All output of the instrumentation. A test may parametrize it with settings."""
    settings = {**EVERYTHING, **getattr(request, "param", {})}
    with LogCapture() as capture, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        telemetry = BothReaders()
        with instrumented(telemetry, **settings):
            yield Places(telemetry, capture, canaries, warned)


@pytest.fixture
def start_runner() -> Iterator[Callable[[str], Runner]]:
    """Start runners by mode. They are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda mode: stack.enter_context(Runner.start(mode))
