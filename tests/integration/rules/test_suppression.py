"""suppress_instrumentation suppresses this package's spans, and nothing else."""

import contextlib
import logging
import threading
from typing import Any

import pytest
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.trace import SpanKind

from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.script import Failure, Reply
from support.waiting import wait_until


def test_suppressed_request_has_metrics_and_no_spans(library, server, instrument):
    """Metrics are recorded; the current span of the suppressed request still gets attributes."""
    telemetry = instrument(span_min_duration=0, metrics="full")
    pool = library.core.ConnectionPool()
    tracer = telemetry.tracer_provider.get_tracer("sdk")
    with tracer.start_as_current_span("chat", kind=SpanKind.CLIENT), suppress_instrumentation():
        response = pool.handle_request(library.request(server.url()))
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 1
    assert telemetry.current("unread") == 1
    response.read()
    response.close()
    points = telemetry.collect()
    assert telemetry.by(semconv.REQUESTS, "status") == {200: 1}
    for metric in (
        semconv.ACQUIRE_DURATION,
        semconv.LEASE_DURATION,
        semconv.CONNECTION_CREATE_DURATION,
        semconv.RESPONSE_WAIT_DURATION,
    ):
        assert [point.count for point in points[metric.name]] == [1], metric.name
    (span,) = telemetry.spans()
    assert span.name == "chat"
    assert span.attributes is not None
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
    thread.join(10)
    assert telemetry.count(semconv.ACQUIRE_DURATION) == 2
    assert telemetry.by(semconv.REQUESTS, "status") == {200: 2}
    assert len(telemetry.spans("HTTP wait_for_connection")) == 1
    pool.close()


def _suppressing(original: Any) -> Any:
    """As Logfire's ``instrument_openai()`` does it by default, around the SDK's own method."""

    def request(self: Any, *args: Any, **kwargs: Any) -> Any:
        with suppress_instrumentation():
            return original(self, *args, **kwargs)

    return request


def test_sdk_whose_requests_are_suppressed_by_another_instrumentation(
    server, instrument, monkeypatch
):
    """Requests and pool timeouts are counted (with Logfire they were not)."""
    openai = pytest.importorskip("openai")
    httpx2 = pytest.importorskip("httpx2")
    monkeypatch.setattr(openai.OpenAI, "request", _suppressing(openai.OpenAI.request))
    telemetry = instrument()
    gate = server.gate()
    server.reply("/models", Reply(head_after=gate))
    limits = httpx2.Limits(max_connections=1)
    with openai.OpenAI(
        api_key="-",
        base_url=server.url("").rstrip("/"),
        max_retries=1,
        http_client=httpx2.Client(limits=limits, timeout=httpx2.Timeout(10, pool=0.05)),
    ) as client:

        def held() -> None:
            with contextlib.suppress(Exception):  # the answer is none that the SDK understands
                client.models.list()

        thread = threading.Thread(target=held)
        thread.start()
        wait_until(lambda: telemetry.current("awaiting_response") == 1)
        with pytest.raises(openai.APITimeoutError):
            client.models.list()
        assert telemetry.by(semconv.TIMEOUTS, "kind") == {"pool": 2}
        assert telemetry.by(semconv.REQUESTS, "error") == {"pool_timeout": 2}
        gate.open()
        thread.join(10)
        wait_until(lambda: sum(telemetry.by(semconv.REQUESTS, "error").values()) >= 3)
