"""Draining the outbox into the SDK: in order, in parts, without the user's context."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.trace import (
    INVALID_SPAN_CONTEXT,
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    get_current_span,
    set_span_in_context,
)

from opentelemetry import context
from opentelemetry.instrumentation.gluellm.failures import Failures
from opentelemetry.instrumentation.gluellm.pool.lease import Lease
from opentelemetry.instrumentation.gluellm.pool.outbox import Outbox
from opentelemetry.instrumentation.gluellm.telemetry import drain as drain_module
from opentelemetry.instrumentation.gluellm.telemetry.drain import Drain, bare_context
from unit.pool.fakes import Scene

SPAN = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


class Histogram:
    """Replaces the SDK's histogram, and keeps its records."""

    def __init__(self, before: Callable[[], object] = bool) -> None:
        self.records: list[tuple[float, dict[str, Any], Any]] = []
        self._before = before

    @property
    def values(self) -> list[float]:
        """What was recorded, in order."""
        return [value for value, _, _ in self.records]

    def record(self, value: float, attributes: dict[str, Any], context: Any = None) -> None:
        """Keep it."""
        self._before()
        self.records.append((value, attributes, context))


class Filled:
    """An outbox with values 0, 1, 2, ... and the drain that empties it."""

    def __init__(self, histogram: Histogram, number: int, capacity: int = 8192) -> None:
        self.outbox = Outbox(capacity)
        self.leases: list[Lease] = []
        self.failures = Failures()
        self.drain = Drain(self.outbox, self.leases.append, self.failures, self.leases.append)
        for value in range(number):
            self.put(histogram, value)

    def put(self, histogram: Histogram, value: float, example: Any = None) -> None:
        """One more value."""
        self.outbox.put((histogram, float(value), {}, example))


def test_items_added_during_a_drain_wait_for_the_next():
    """Otherwise requests that come faster than they are recorded would block a collection."""

    def grow():
        filled.put(histogram, 100)

    histogram = Histogram(before=grow)
    filled = Filled(histogram, 3)
    filled.drain.all()
    assert histogram.values == [0.0, 1.0, 2.0]
    assert len(filled.outbox.items) == 3


def test_entering_request_drains_some_items_of_a_half_full_outbox(monkeypatch):
    """At most 64 items, so that no request pays for all. A long drain yields to loops."""
    histogram = Histogram()
    filled = Filled(histogram, 190, capacity=200)
    filled.outbox.filling = True
    filled.drain.some()
    assert len(histogram.records) == 64
    assert filled.outbox.filling
    filled.drain.some()
    assert not filled.outbox.filling
    yields = []
    monkeypatch.setattr(drain_module, "time", SimpleNamespace(sleep=yields.append))
    Filled(Histogram(), 520).drain.all()
    assert yields == [0] * 10


def test_requests_and_forks_do_not_wait_for_a_drain(monkeypatch):
    """If the fork stops waiting for a drain, it must not release the drain's lock."""
    monkeypatch.setattr(drain_module, "_LOCK_TIMEOUT", 0.01)
    inside, go_on = threading.Event(), threading.Event()

    def slow():
        inside.set()
        go_on.wait(60)

    histogram = Histogram(before=slow)
    filled = Filled(histogram, 200)
    with ThreadPoolExecutor(1) as executor:
        draining = executor.submit(filled.drain.all)
        assert inside.wait(60)
        filled.drain.some()
        assert histogram.records == []
        filled.drain.before_fork()
        filled.drain.after_fork_in_parent()
        still_held = not filled.drain._lock.acquire(blocking=False)
        go_on.set()
        draining.result(60)
    assert still_held
    assert len(histogram.records) == 200


def test_record_that_raises_does_not_affect_the_others():
    """A view's own reservoir or aggregation can raise; later records are not lost."""

    def fail():
        raise RuntimeError

    good = Histogram()
    filled = Filled(Histogram(before=fail), 2)
    filled.put(good, 1)
    filled.drain.all()
    assert good.values == [1.0]
    assert filled.failures.counts == {"record": 2}


def test_lease_whose_record_a_signal_interrupts_is_recorded_by_the_next_drain():
    """The signal's handler raises, and the lease is first in the outbox again."""
    first, second = Scene().enter(), Scene().enter()
    recorded = []

    def record(lease):
        if lease is first and not interrupts:
            interrupts.append(lease)
            raise KeyboardInterrupt
        recorded.append(lease)

    interrupts = []
    outbox = Outbox()
    drain = Drain(outbox, record, Failures(), record)
    for lease in (first, second):
        outbox.put_lease(lease)
    with pytest.raises(KeyboardInterrupt):
        drain.all()
    drain.all()
    assert recorded == [first, second]


# Contexts


def test_value_is_recorded_in_a_context_of_its_span_alone():
    """The SDK needs the span for an exemplar, and nothing else of any context."""
    histogram = Histogram()
    filled = Filled(histogram, 0)
    filled.put(histogram, 1, SPAN)
    token = context.attach(context.set_value("secret", "baggage"))
    try:
        filled.drain.all()
    finally:
        context.detach(token)
    (record,) = histogram.records
    assert get_current_span(record[2]).get_span_context() is SPAN
    assert isinstance(get_current_span(record[2]), NonRecordingSpan)
    assert len(record[2]) == 1


@pytest.mark.parametrize("example", [None, INVALID_SPAN_CONTEXT])
def test_value_without_a_span_does_not_get_the_span_of_the_draining_thread(example):
    """The SDK would replace an empty context by the current one."""
    histogram = Histogram()
    filled = Filled(histogram, 0)
    filled.put(histogram, 1, example)
    token = context.attach(set_span_in_context(NonRecordingSpan(SPAN)))
    try:
        filled.drain.all()
        (record,) = histogram.records
        assert record[2]  # the SDK treats an empty one as missing
        assert get_current_span(record[2]).get_span_context() == INVALID_SPAN_CONTEXT
    finally:
        context.detach(token)
    assert len(bare_context(example)) == 1


# Fork


@pytest.mark.parametrize("where", ["parent", "child"])
def test_no_drain_spans_a_fork(where):
    """Drains wait until after the fork: a thread with the lock may not exist in the child."""
    histogram = Histogram()
    filled = Filled(histogram, 3)
    filled.drain.before_fork()
    filled.drain.some()
    assert histogram.records == []
    getattr(filled.drain, f"after_fork_in_{where}")()
    filled.drain.all()
    assert histogram.values == [0.0, 1.0, 2.0]
