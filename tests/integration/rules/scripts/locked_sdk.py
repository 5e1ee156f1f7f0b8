"""For scripts that let finalizers run while their thread holds every lock of the SDK.

The garbage collector can run at any line, also at one inside the SDK's locks, which are not
reentrant: a finalizer that calls the SDK there waits for its own thread.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

_NOT_REENTRANT = type(threading.Lock())
UNDER_WAY = ("http.client.active_requests", "gluellm.pool.request.current")


class WhenDropped:
    """Does something when it is dropped, as SDKs' clients and streams do."""

    def __init__(self, does: Callable[[], Any]) -> None:
        self.does = does
        self.itself = self  # the garbage collector's, not the last reference's

    def __del__(self) -> None:
        self.does()


class _Handler(logging.Handler):
    """Whoever logs in a finalizer waits for this, as for a handler that is at work."""

    def __init__(self) -> None:
        super().__init__(level=1)
        self.work = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        with self.work:
            pass


class LockedSdk:
    """Providers with everything on, and the instrumentation for every pool.

    ``logger`` is the one whose records wait in finalizers; the root's, where the library itself
    logs nothing in one.
    """

    def __init__(self, logger: str = "") -> None:
        self._reader = InMemoryMetricReader()
        self._meters = MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False)
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(
            BatchSpanProcessor(ConsoleSpanExporter(out=open("/dev/null", "w")))  # noqa: PTH123, SIM115
        )
        GlueLLMInstrumentor().instrument(
            scope="all",
            metrics="full",
            span_min_duration=0,
            meter_provider=self._meters,
            tracer_provider=tracers,
        )
        self._handler = _Handler()
        logging.getLogger(logger).addHandler(self._handler)
        logging.getLogger("opentelemetry").setLevel(1)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread holds all locks, as in the middle of a record or a collection."""
        held = [lock for lock in _locks() if lock.acquire(blocking=False)]
        assert len(held) > 10, len(held)
        self._handler.work.acquire()
        try:
            yield
        finally:
            self._handler.work.release()
            for lock in held:
                lock.release()

    def collect(self) -> Any:
        """What a reader gets."""
        return self._reader.get_metrics_data()

    def drop_while_collecting(self, left: list[Any]) -> None:
        """The real thing: a user's own callback is where the collector happens to run."""

        def callback(options: Any) -> Any:
            left.clear()
            gc.collect()
            return ()

        self._meters.get_meter("user").create_observable_gauge("user", callbacks=[callback])
        self.collect()
        assert not left

    def total(self, *names: str) -> float:
        """The sum of these metrics' values."""
        data = self.collect()
        return sum(
            point.value
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name in names
            for point in metric.data.data_points
        )


def _locks() -> list[Any]:
    """Every lock that an object of the SDK, the API or this package has for its own."""
    found: dict[int, Any] = {}
    for candidate in gc.get_objects():
        module = getattr(type(candidate), "__module__", "")
        if not isinstance(module, str) or not module.startswith("opentelemetry."):
            continue
        for value in (getattr(candidate, "__dict__", None) or {}).values():
            if type(value) is _NOT_REENTRANT:
                found[id(value)] = value
    return list(found.values())
