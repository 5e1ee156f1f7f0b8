"""Exemplars point to the request that waited, whichever thread assigned its connection."""

import threading
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.script import Reply
from support.waiting import wait_until


def in_span(tracer: Any, name: str, work: Callable[[], Any]) -> tuple[threading.Thread, list[int]]:
    """Run work in a thread, in its own root span. The returned list gets the trace id."""
    trace_ids: list[int] = []

    def run() -> None:
        with tracer.start_as_current_span(name) as span:
            trace_ids.append(span.get_span_context().trace_id)
            work()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, trace_ids


def exemplars(points: list[Any]) -> set[tuple[int, bool]]:
    """Return trace id and whether the value exceeds 10 ms, for each exemplar."""
    return {(e.trace_id, e.value > 0.01) for point in points for e in point.exemplars}


def test_exemplar_of_a_wait_is_the_span_of_the_waiting_request(library, server, telemetry):
    """The holder's release assigns the connection. The collection runs in another span."""
    tracer = telemetry.tracer_provider.get_tracer("test")
    gate = server.gate()
    server.reply("/slow", Reply(end_after=gate))
    pool = library.core.ConnectionPool(max_connections=1)
    holder, held_by = in_span(tracer, "holder", lambda: pool.request("GET", server.url("/slow")))
    server.timeline.wait_for("head")
    waiter, waited_in = in_span(tracer, "waiter", lambda: pool.request("GET", server.url()))
    wait_until(lambda: [request.is_queued() for request in pool._requests] == [False, True])
    threading.Event().wait(0.03)
    gate.open()
    holder.join(60)
    waiter.join(60)
    with tracer.start_as_current_span("collector"):
        points = telemetry.collect()
    assert exemplars(points[semconv.ACQUIRE_DURATION.name]) == {
        (held_by[0], False),
        (waited_in[0], True),
    }
    leases = {trace for trace, _ in exemplars(points[semconv.LEASE_DURATION.name])}
    assert leases <= {held_by[0], waited_in[0]}
    assert leases
    created = {trace for trace, _ in exemplars(points[semconv.CONNECTION_CREATE_DURATION.name])}
    assert created == {held_by[0]}
    pool.close()
