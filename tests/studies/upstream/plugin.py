"""A pytest plug-in, ``-p studies.upstream.plugin``: it instruments a suite.

Every pool is observed. As in a program that exports, an SDK collects twice a second from its own
thread, at any moment of a test. At the end the counts are written to a file, which proves that the
suite was instrumented, together with each failure that the package caught, and its error.
"""

import io
import json
import os
import traceback
from collections import Counter
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    ConsoleMetricExporter,
    InMemoryMetricReader,
    PeriodicExportingMetricReader,
)

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.failures import on_failure
from support.installation import instrument
from support.telemetry import Telemetry

from . import FOLDER, OWN, REQUESTS

_INTERVAL_MS = 500.0


class _Instrumented(Telemetry):
    def __init__(self) -> None:
        super().__init__()
        nowhere = ConsoleMetricExporter(io.StringIO(), lambda _: "")
        collecting = PeriodicExportingMetricReader(nowhere, export_interval_millis=_INTERVAL_MS)
        self.reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([collecting, self.reader])
        self._errors: Counter[str] = Counter()
        _count(self._errors)
        # Before the suite imports its library, and so before its tests save originals to restore.
        instrument(self)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Write the counts to a file, in each worker of pytest-xdist as well."""
        requests = self.by(semconv.REQUESTS, "library").items()
        seen = {**self._errors} | {f"{REQUESTS}{library}": count for library, count in requests}
        GlueLLMInstrumentor().uninstrument()
        self.shutdown()
        folder = os.environ.get(FOLDER)
        if folder:
            Path(folder, f"seen-{os.getpid()}.json").write_text(json.dumps(seen))


def _count(errors: Counter[str]) -> None:
    """Count the failures that the package catches, by kind, error and line."""

    def counted(kind: str, error: BaseException) -> None:
        frames = traceback.extract_tb(error.__traceback__)  # none where it was never raised
        place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno} " if frames else ""
        words = f"{type(error).__name__}: {error}".partition("\n")[0][:200]
        errors[f"{OWN} in {kind} ({place}{words})"] += 1

    on_failure(counted)


def pytest_configure(config: pytest.Config) -> None:
    """Instrument, once the command line is read."""
    config.pluginmanager.register(_Instrumented(), "gluellm-instrumented")
