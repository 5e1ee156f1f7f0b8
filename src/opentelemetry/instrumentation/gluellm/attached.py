"""The observation of a process for a while, by a command from outside (``doctor --attach``)."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider

from .config import Config
from .installation import Installation
from .instrumentor import GlueLLMInstrumentor

_PACKAGE = logging.getLogger(__package__)


@contextlib.contextmanager
def attached(
    pools: Iterable[tuple[str, Any, Mapping[str, Any]]],
    *,
    meter_provider: MeterProvider,
    tracer_provider: TracerProvider,
    leak_threshold: float,
) -> Iterator[Installation | None]:
    """Observe all pools within the block, without log, and restore everything.

    Yields None if the process is observed already. ``pools`` are the known ones, each with its
    library and what it lists: they are tracked although they may get no request.
    """
    base = GlueLLMInstrumentor
    config = Config(scope="all", findings=False, leak_threshold=leak_threshold)
    with base._lock:
        if base._installation is not None:
            installation = None
        else:
            level = _PACKAGE.level
            _PACKAGE.setLevel(logging.CRITICAL + 1)
            try:
                installation = Installation(
                    config,
                    tracer_provider=tracer_provider,
                    meter_provider=meter_provider,
                )
                installation.install()
            except BaseException:
                _PACKAGE.setLevel(level)
                raise
            base._installation = installation
    try:
        if installation is not None:
            installation.track(pools)
        yield installation
    finally:
        if installation is not None:
            with base._lock:
                installation.uninstall()
                if base._installation is installation:
                    base._installation = None
                _PACKAGE.setLevel(level)
