"""The observation of a process for a while, by a command from outside (``doctor --attach``)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from .config import Config
from .installation import Installation
from .instrumentor import GlueLLMInstrumentor

_LOG = logging.getLogger(__package__)


@contextlib.contextmanager
def attached(
    *, meter_provider: MeterProvider, tracer_provider: TracerProvider, leak_threshold: float
) -> Iterator[Installation]:
    """Observe all pools within the block, without log, and restore everything.

    Raises RuntimeError if the process is observed already.
    """
    base = GlueLLMInstrumentor
    level = _LOG.level
    with base._lock:
        if base._installation is not None:
            raise RuntimeError("the process is instrumented already")
        installation = Installation(
            Config(scope="all", findings=False, leak_threshold=leak_threshold),
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
        )
        _LOG.setLevel(logging.CRITICAL + 1)
        try:
            installation.install()
        except BaseException:
            _LOG.setLevel(level)
            raise
        base._installation = installation
    try:
        yield installation
    finally:
        with base._lock:
            installation.uninstall()
            if base._installation is installation:
                base._installation = None
        _LOG.setLevel(level)
