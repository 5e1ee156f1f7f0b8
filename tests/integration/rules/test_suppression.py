"""suppress_instrumentation suppresses only this package's spans."""

import threading

from opentelemetry.instrumentation.utils import suppress_instrumentation

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.waiting import wait_until


def test_wait_for_a_suppressed_request_has_a_span(library, server, instrument):
    """Only the suppressed request itself has no spans."""
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
