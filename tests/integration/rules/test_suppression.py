"""suppress_instrumentation suppresses this package's spans, and nothing else."""

import logging
import threading

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.script import Failure, Reply
from support.waiting import wait_until


def test_suppressed_request_adds_attributes_to_the_current_span(library, server, telemetry):
    """``suppress_instrumentation`` suppresses spans, not the attributes of a span that is there."""
    tracer = telemetry.tracer_provider.get_tracer("sdk")
    pool = library.core.ConnectionPool()
    with tracer.start_as_current_span("chat", kind=SpanKind.CLIENT), suppress_instrumentation():
        pool.request("GET", server.url())
    (span,) = telemetry.spans()
    assert span.attributes[semconv.CONNECTION_REUSED] is False
    pool.close()


@pytest.mark.parametrize("failure", ["pool", "read", "reset"])
def test_suppressed_failure_is_counted(library, server, instrument, failure):
    """As a timeout, or as a failure on a reused connection; without a span of the wait."""
    telemetry = instrument(span_min_duration=0)
    pool = library.core.ConnectionPool(max_connections=1)
    with suppress_instrumentation():
        pool.request("GET", server.url())
        server.reply("/never", Reply(head_after=server.gate()))
        server.reply("/reset", Reply(failure=Failure.RESET_BEFORE_HEAD))
        if failure == "pool":
            held = pool.handle_request(library.request(server.url()))
            with pytest.raises(library.core.PoolTimeout):
                pool.request("GET", server.url(), extensions={"timeout": {"pool": 0.01}})
            held.close()
        elif failure == "read":
            with pytest.raises(library.core.ReadTimeout):
                pool.request("GET", server.url("/never"), extensions={"timeout": {"read": 0.01}})
        else:
            with pytest.raises(library.core.ReadError):
                pool.request("GET", server.url("/reset"))
    timeouts = {} if failure == "reset" else {failure: 1}
    assert telemetry.by(semconv.TIMEOUTS, "kind") == timeouts
    assert telemetry.value(semconv.REUSE_FAILURES) == (failure == "reset")
    errors = telemetry.by(semconv.REQUESTS, "error")
    assert sum(errors.values()) - errors.get(None, 0) == 1
    assert telemetry.spans() == []
    pool.close()


def test_suppressed_leak_is_reported(library, server, instrument, caplog):
    """In the log, in the metrics, and in the snapshot."""
    caplog.set_level(logging.WARNING)
    telemetry = instrument(leak_threshold=2)
    pool = library.core.ConnectionPool()
    with suppress_instrumentation():
        held = pool.handle_request(library.request(server.url()))
    wait_until(lambda: telemetry.value(semconv.LEAKS) == 1)
    wait_until(lambda: "leak suspected" in caplog.text)
    (request,) = snapshot().pools[0].requests
    assert request.leak_suspected
    held.close()
    pool.close()


def test_wait_for_a_suppressed_request_has_a_span(library, server, instrument):
    """Only the spans of the suppressed request itself are left out."""
    telemetry = instrument(span_min_duration=0)
    pool = library.core.ConnectionPool(max_connections=1)
    with suppress_instrumentation():
        held = pool.handle_request(library.request(server.url()))
    thread = threading.Thread(target=pool.request, args=("GET", server.url()))
    thread.start()
    wait_until(lambda: telemetry.current("queued") == 1)
    held.close()
    thread.join(60)
    assert telemetry.count(semconv.ACQUIRE_DURATION) == 2
    assert telemetry.by(semconv.REQUESTS, "status") == {200: 2}
    assert len(telemetry.spans("HTTP wait_for_connection")) == 1
    pool.close()
