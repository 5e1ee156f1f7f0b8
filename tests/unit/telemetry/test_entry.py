"""What is noted of a request's own context when it enters a pool."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind

from opentelemetry import context
from opentelemetry.instrumentation.gluellm.telemetry.entry import (
    EntryObserver,
    SuppressedContext,
    entry_context,
    suppressed,
)
from unit.pool.fakes import Scene


@pytest.fixture
def scene() -> Scene:
    """A pool whose requests are looked at."""
    return Scene(EntryObserver(), entry_context=entry_context())


def test_identity_of_the_span_is_noted(scene: Scene, tracers: TracerProvider) -> None:
    """Nothing else of the context is noted. Without a span there is no event."""
    lease = scene.enter()
    assert not lease.accounted
    assert lease.observed is None
    assert scene.recorder.names == []
    tracer = tracers.get_tracer("test")
    with tracer.start_as_current_span("caller") as span:
        lease = scene.enter()
    assert lease.observed == span.get_span_context()
    assert not lease.in_client_span
    with tracer.start_as_current_span("http", kind=SpanKind.CLIENT):
        assert scene.enter().in_client_span  # it is told of the connection that it got
    reference = weakref.ref(span)
    scene.recorder.events.clear()
    del span
    gc.collect()
    assert reference() is None


@pytest.fixture
def tracers() -> Iterator[TracerProvider]:
    """Makes spans that are not exported."""
    made = TracerProvider(shutdown_on_exit=False)
    yield made
    made.shutdown()


def test_suppressed_request_makes_no_spans(scene: Scene) -> None:
    """The API's key and the older plain key suppress. The request is counted."""
    assert not suppressed()
    with suppress_instrumentation():
        assert suppressed()
        lease = scene.enter()
        assert isinstance(lease.observed, SuppressedContext)
        assert not lease.observed.is_valid
        assert not lease.accounted
    for value in (True, False):
        token = context.attach(context.set_value("suppress_instrumentation", value))
        assert suppressed() is isinstance(scene.enter().observed, SuppressedContext) is value
        context.detach(token)
