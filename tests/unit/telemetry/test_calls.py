"""The spans, attributes and histogram values of calls.

Those of requests are compared in tests/contract/golden.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import NoOpMeter
from opentelemetry.trace import SpanKind, StatusCode

from opentelemetry.instrumentation.gluellm.attribution.streams import wrap_stream
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.entry import EntryObserver, entry_context
from opentelemetry.instrumentation.gluellm.telemetry.gauges import StateSource
from opentelemetry.instrumentation.gluellm.telemetry.histograms import DurationObserver
from opentelemetry.instrumentation.gluellm.telemetry.instruments import MeterInstruments
from opentelemetry.instrumentation.gluellm.telemetry.spans import SpanObserver
from opentelemetry.instrumentation.gluellm.vocabulary import BACKOFF
from support.telemetry import Telemetry
from unit.pool.fakes import Scene
from unit.pool.test_call import Items, begin, leave


class Recorded:
    """A scene whose calls are recorded in an SDK."""

    def __init__(self, *, model_attributes: bool = False) -> None:
        self.telemetry = Telemetry()
        self.tracer = self.telemetry.tracer_provider.get_tracer("test")
        instruments = MeterInstruments(self.telemetry.meter_provider.get_meter("test"))
        spans = SpanObserver(self.tracer, 0.05)
        durations = DurationObserver(
            instruments,
            full=False,
            model_attributes=model_attributes,
            time_in_queue=False,
            record_call=spans.record_call,
        )
        self.scene = Scene(
            EntryObserver(),
            durations,
            spans,
            entry_context=entry_context(),
            ledgers=instruments.ledgers,
        )
        self.source = StateSource(
            self.scene.registry, durations.drain, list, lambda: None, None, tuple, dict
        )
        instruments.connect(self.source)

    def call(self, *, backoff: float = 0.0, **settings: Any) -> Any:
        """A call in flight that was refused and has paused."""
        call = begin(self.scene, **settings)
        leave(self.scene, self.scene.enter(call), 429)
        call.counted.enter(BACKOFF)
        self.scene.clock.advance(backoff)
        return call

    def spans(self) -> list[Any]:
        """The spans of calls, after a collection."""
        self.telemetry.now()
        return self.telemetry.spans(semconv.SPAN_CALL)


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    made = Recorded()
    yield made
    made.telemetry.shutdown()


def test_slow_call_has_a_span_with_its_stages(recorded):
    """It has the call's times; its parent is the span that was current at the beginning."""
    with recorded.tracer.start_as_current_span("caller") as caller:
        call = recorded.call(backoff=0.06)
    call.model = call.counted.model = "gpt"
    call.end_by(ValueError())
    (span,) = recorded.spans()
    assert span.parent == caller.get_span_context()
    assert span.end_time - span.start_time == pytest.approx(60_000_000, rel=0.01)
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes) == {
        "gen_ai.provider.name": "openai",
        "gluellm.call.source": "any_llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt",
        "gluellm.call.outcome": "failed",
        "gluellm.call.retries": 0,
        "error.type": "429",
        "gluellm.call.time.backoff": 0.06,
        "gluellm.call.request.time.queued": 0.0,
        "gluellm.call.request.time.awaiting_response": 0.0,
    }


def test_quick_call_has_no_span_unless_it_was_retried(recorded):
    """Time in ``requesting`` does not count: spans of requests show it."""
    quick = begin(recorded.scene)
    lease = recorded.scene.enter(quick)
    recorded.scene.clock.advance(60)
    leave(recorded.scene, lease)
    recorded.scene.clock.advance(0.04)
    quick.end()
    retried = recorded.call()
    leave(recorded.scene, recorded.scene.enter(retried))
    retried.end()
    (span,) = recorded.spans()
    assert span.attributes[semconv.SPAN_CALL_RETRIES] == 1
    assert span.status.status_code is StatusCode.UNSET
    assert span.parent is None


def test_suppressed_call_has_no_span_and_counts(recorded):
    """This is as for requests. Logfire sets the key by default."""
    with recorded.tracer.start_as_current_span("caller"), suppress_instrumentation():
        recorded.call(backoff=1).end()
    assert recorded.spans() == []
    assert recorded.telemetry.now().value(semconv.CALLS, outcome="succeeded") == 1


@pytest.mark.parametrize("kind", [SpanKind.CLIENT, SpanKind.INTERNAL])
def test_client_span_gets_the_attributes_of_the_first_call_under_it(recorded, kind):
    """The call must end in its caller's context, while the span is recording."""
    with recorded.tracer.start_as_current_span("chat", kind=kind) as span:
        first = recorded.call(backoff=1)
        recorded.call(backoff=2).end()
        assert semconv.CALL_OUTCOME not in span.attributes
        first.end()
        attributes = dict(span.attributes)
    if kind is SpanKind.CLIENT:
        assert attributes[semconv.SPAN_CALL_TIME.format(stage="backoff")] == 3
    else:
        assert attributes == {}
    with recorded.tracer.start_as_current_span("chat", kind=kind) as span:
        late = recorded.call(backoff=1)
    late.end()
    assert semconv.CALL_OUTCOME not in span.attributes


@pytest.mark.parametrize("how", ["dropped", "closed"])
def test_finalizer_writes_no_attributes(recorded, how):
    """It may run while the span's lock, which is not reentrant, is held. So may a close."""
    with recorded.tracer.start_as_current_span("chat", kind=SpanKind.CLIENT) as span:
        call = recorded.call(backoff=1)
        stream = wrap_stream(Items(), call)
        with span._lock:
            if how == "closed":
                stream.close()
            del stream
        assert semconv.CALL_OUTCOME not in span.attributes
    (made,) = recorded.spans()
    assert made.attributes[semconv.CALL_OUTCOME] == "abandoned"


def test_durations_have_operation_and_by_opt_in_model(recorded):
    """There are at most 50 models."""
    recorded.call(backoff=7).end()
    (point,) = recorded.telemetry.now().points(semconv.CALL_DURATION)
    assert (point.count, point.sum) == (1, 7)
    assert semconv.REQUEST_MODEL not in point.attributes
    more = Recorded(model_attributes=True)
    for number in range(60):
        call = begin(more.scene)
        call.counted.model = f"m{number}"
        call.end()
    points = more.telemetry.now().points(semconv.CALL_DURATION)
    models = [point.attributes[semconv.REQUEST_MODEL] for point in points]
    more.telemetry.shutdown()
    assert len(models) == 51
    assert "_OTHER" in models


def test_series_of_calls_are_born_at_zero_and_stay(recorded):
    """From the first call on: `increase()` would miss a series that begins at 1."""
    assert recorded.telemetry.now().points(semconv.CALL_CURRENT) == []
    call = begin(recorded.scene)
    reading = recorded.telemetry.now()
    born = {
        metric.name: [point.value for point in reading.points(metric)]
        for metric in semconv.METRICS
        if metric.name.startswith("gluellm.call")
    }
    assert born == {
        "gluellm.call.current": [0, 1, 0, 0, 0],
        "gluellm.call.oldest_age": [0] * 5,
        "gluellm.call.time": [0] * 5,
        "gluellm.call.silence.oldest_age": [],
        "gluellm.call.silent": [0],
        "gluellm.calls": [0] * 4,
        "gluellm.call.errors": [],
        "gluellm.call.retries": [0],
        "gluellm.call.duration": [],
    }
    call.end()
    recorded.scene.clock.advance(3600)
    reading = recorded.telemetry.now()
    assert reading.by(semconv.CALL_CURRENT, "stage") == {}
    assert len(reading.points(semconv.CALL_CURRENT)) == 5
    assert reading.value(semconv.CALLS) == 1


def test_oldest_lease_is_the_longest_held_one(recorded):
    """Its phase does not matter. Requests that wait hold nothing."""
    scene = recorded.scene

    def age():
        (point,) = recorded.telemetry.now().points(semconv.LEASE_OLDEST_AGE)
        return float(point.value)

    scene.queue()
    scene.clock.advance(5)
    assert age() == 0
    first = scene.acquire()
    scene.clock.advance(3)
    second = scene.acquire()
    scene.tracker.answered(first, 200)
    scene.clock.advance(1)
    assert age() == 4
    scene.tracker.released(first)
    assert age() == 1
    scene.tracker.failed(second, "cancelled")
    assert age() == 0


def test_lease_whose_release_is_not_reported_has_no_duration(recorded):
    """The hook may be missing."""
    connection = recorded.scene.connection(established=True)
    connection.reports_release = False
    recorded.scene.serve(recorded.scene.acquire(connection))
    reading = recorded.telemetry.now()
    assert reading.count(semconv.LEASE_DURATION) == 0
    assert reading.value(semconv.REQUESTS) == 1


def test_outcomes_are_counted_without_an_sdk():
    """Durations are not computed then, and are not recorded later."""
    instruments = MeterInstruments(NoOpMeter("test"))
    observer = DurationObserver(
        instruments, full=False, model_attributes=False, time_in_queue=False
    )
    scene = Scene(observer, ledgers=instruments.ledgers)
    lease = scene.acquire()
    scene.serve(lease)
    observer.drain.all()
    assert (lease.recorded, scene.origin.requests[200, None, False]) == (2, 1)
    assert scene.origin.attributes is None
