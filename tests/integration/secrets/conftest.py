"""Canaries, ears for everything that comes out, and the instrumentation with all of it on."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from support.clients import Runner
from support.installation import instrumented

from .places import BothReaders, Canaries, Ears, Places

EVERYTHING: dict[str, Any] = {
    "scope": "all",
    "metrics": "full",
    "span_min_duration": 0,
    "time_in_queue": True,
    "leak_threshold": 2,
    "leak_stacks": True,
}
"""Every setting that makes it tell more, but for the model on metrics."""


@pytest.fixture
def canaries() -> Canaries:
    """None planted yet."""
    return Canaries()


@pytest.fixture
def places(request: pytest.FixtureRequest, canaries: Canaries) -> Iterator[Places]:
    """The instrumentation on, and everything that it tells kept; ``settings`` may be given."""
    settings = {**EVERYTHING, **getattr(request, "param", {})}
    with Ears() as ears, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        telemetry = BothReaders()
        with instrumented(telemetry, **settings):
            yield Places(telemetry, ears, canaries, warned)


@pytest.fixture
def start_runner() -> Iterator[Callable[[str], Runner]]:
    """Runners by mode, closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda mode: stack.enter_context(Runner.start(mode))
