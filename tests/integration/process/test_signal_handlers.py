"""A signal handler that sends requests. ``tests/studies/interruptions`` interrupts every line."""

import signal
from collections.abc import Callable
from types import FrameType

import pytest
from opentelemetry.sdk.metrics import (
    AlignedHistogramBucketExemplarReservoir,
    Exemplar,
    MeterProvider,
)
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.util.types import Attributes

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import installed

from .requesting import LIBRARIES, Requesting

SIGNAL = signal.SIGUSR1


@pytest.mark.timeout(60)
@pytest.mark.parametrize("library", LIBRARIES)
def test_signal_handler_can_send_while_the_sdk_holds_its_locks(library, server):
    """Its requests record nothing in the SDK, which would deadlock.

    Here, an exemplar reservoir of the application raises the signal. The SDK calls it with the lock
    of the histogram in which the requests would be recorded.
    """
    handled = 0

    class Interrupted(AlignedHistogramBucketExemplarReservoir):
        def collect(self, point_attributes: Attributes) -> list[Exemplar]:
            signal.raise_signal(SIGNAL)
            return super().collect(point_attributes)

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal handled
        for _ in range(3):
            pool.send()
            handled += 1

    def made_of(_aggregation: object) -> Callable[..., Interrupted]:
        return Interrupted

    metrics = (semconv.ACQUIRE_DURATION, semconv.LEASE_DURATION)
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        metric_readers=[reader],
        views=[View(instrument_name=m.name, exemplar_reservoir_factory=made_of) for m in metrics],
        shutdown_on_exit=False,
    )
    GlueLLMInstrumentor().instrument(meter_provider=provider, scope="all")
    installation = installed()
    installation.registry.outbox.half = 1
    pool = Requesting.of(library, server.url())
    before = signal.signal(SIGNAL, handle)
    try:
        pool.send()
        reader.get_metrics_data()
        assert handled == 3 * len(metrics)
    finally:
        signal.signal(SIGNAL, before)
        GlueLLMInstrumentor().uninstrument()
        pool.close()
        provider.shutdown()
    # Nothing was lost: uninstrument() recorded the rest.
    assert installation.registry.outbox.dropped == len(installation.registry.outbox.items) == 0
