"""A clock for the instrumentation, which tests advance instead of waiting for thresholds."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest

from opentelemetry.instrumentation.gluellm.watch import watch

from . import installation
from .telemetry import Telemetry


class Clock:
    """The monotonic clock, plus the time that the test has added."""

    def __init__(self) -> None:
        self.ahead = 0
        registry = installation.installed().registry
        registry.clock = registry.calls.clock = self

    def __call__(self) -> int:
        return time.monotonic_ns() + self.ahead

    def advance(self, seconds: float) -> None:
        """Let time pass for pools that are built after ``instrument()``."""
        self.ahead += round(seconds * 1e9)


@contextlib.contextmanager
def instrumented(telemetry: Telemetry, **settings: Any) -> Iterator[Clock]:
    """Instrument with a `Clock`, and run the watch every 20 ms."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watch, "INTERVAL", 0.02)
        with installation.instrumented(telemetry, **{"scope": "llm", **settings}):
            yield Clock()
