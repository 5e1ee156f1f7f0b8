"""suppress_instrumentation: such a request counts in the state, where it holds a connection."""

from __future__ import annotations

import threading

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.libraries import Library
from support.script import Failure, Reply
from support.waiting import wait_until

from .conftest import Instrument


def test_suppressed_request_counts_in_the_state_only(
    library: Library, server: HTTP1Server, instrument: Instrument
) -> None:
    """It is active and holds a connection; it makes no duration, no count, no span."""
    telemetry = instrument(span_min_duration=0, metrics="full")
    pool = library.core.ConnectionPool()
    with suppress_instrumentation():
        response = pool.handle_request(library.request(server.url()))
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 1
    assert telemetry.current("unread") == 1
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 1
    assert telemetry.value(semconv.PEAK_ACTIVE) == 1
    response.read()
    response.close()
    points = telemetry.collect()
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.REQUESTS) == 0
    for metric in (
        semconv.ACQUIRE_DURATION,
        semconv.LEASE_DURATION,
        semconv.CONNECTION_CREATE_DURATION,
        semconv.RESPONSE_WAIT_DURATION,
    ):
        assert metric.name not in points, metric.name
    assert telemetry.spans() == []
    pool.close()


@pytest.mark.parametrize("failure", ["pool", "read", "reset"])
def test_suppressed_failure_is_not_counted(
    library: Library, server: HTTP1Server, instrument: Instrument, failure: str
) -> None:
    """Neither as a timeout, nor as a failure on a reused connection."""
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
    assert telemetry.value(semconv.TIMEOUTS) == 0
    assert telemetry.value(semconv.REUSE_FAILURES) == 0
    assert telemetry.value(semconv.REQUESTS) == 0
    assert telemetry.count(semconv.ACQUIRE_DURATION) == 0
    assert telemetry.spans() == []
    pool.close()


def test_request_that_waits_for_a_suppressed_one_is_told(
    library: Library, server: HTTP1Server, instrument: Instrument
) -> None:
    """Who holds the connection may be suppressed; the wait of the other is real."""
    telemetry = instrument()
    pool = library.core.ConnectionPool(max_connections=1)
    with suppress_instrumentation():
        held = pool.handle_request(library.request(server.url()))
    thread = threading.Thread(target=pool.request, args=("GET", server.url()))
    thread.start()
    wait_until(lambda: telemetry.current("queued") == 1)
    held.close()
    thread.join(10)
    assert telemetry.count(semconv.ACQUIRE_DURATION) == 1
    assert telemetry.total(semconv.ACQUIRE_DURATION) > 0
    assert telemetry.by(semconv.REQUESTS, "status") == {200: 1}
    pool.close()
