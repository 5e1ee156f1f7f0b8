"""What is noted of a request's own context when it enters a pool."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from opentelemetry import context
from opentelemetry.instrumentation.gluellm.telemetry.entry import (
    EntryObserver,
    entry_context,
    suppressed,
)
from unit.pool.fakes import Scene


@pytest.fixture
def scene() -> Scene:
    """A pool whose requests are looked at."""
    return Scene(EntryObserver(), entry_context=entry_context())


@pytest.fixture
def tracers() -> Iterator[TracerProvider]:
    """Makes spans that nobody exports."""
    made = TracerProvider(shutdown_on_exit=False)
    yield made
    made.shutdown()


def test_request_without_a_context_is_told_to_nobody(scene: Scene) -> None:
    """Most requests of a program without tracing."""
    lease = scene.enter()
    assert lease.counted
    assert lease.observed is None
    assert scene.recorder.names == ["pool_opened"]


def test_identity_of_the_span_is_noted(scene: Scene, tracers: TracerProvider) -> None:
    """Not the span, nor anything else of the context."""
    with tracers.get_tracer("test").start_as_current_span("caller") as span:
        lease = scene.enter()
    assert lease.observed == span.get_span_context()
    assert not lease.in_client_span
    reference = weakref.ref(span)
    scene.recorder.events.clear()
    del span
    gc.collect()
    assert reference() is None


def test_client_span_is_noted_as_one(scene: Scene, tracers: TracerProvider) -> None:
    """It is told of the connection that its request got."""
    with tracers.get_tracer("test").start_as_current_span("http", kind=SpanKind.CLIENT):
        assert scene.enter().in_client_span


def test_suppressed_request_makes_no_spans(scene: Scene) -> None:
    """By the key of the API, and by the older plain one. It counts like any other."""
    assert not suppressed()
    with suppress_instrumentation():
        assert suppressed()
        lease = scene.enter()
        assert lease.spans_suppressed
        assert lease.counted
    token = context.attach(context.set_value("suppress_instrumentation", True))
    assert suppressed()
    assert scene.enter().spans_suppressed
    context.detach(token)
    token = context.attach(context.set_value("suppress_instrumentation", False))
    assert not suppressed()
    assert not scene.enter().spans_suppressed
    context.detach(token)


def test_entry_context_is_the_running_codes() -> None:
    """What the API's own function gives."""
    get = entry_context()
    assert get() == context.get_current() == Context()
    token = context.attach(context.set_value("key", "value"))
    assert get() is context.get_current()
    context.detach(token)
