"""Spans of waits and set-ups: conditions, content, parents."""

from __future__ import annotations

import time

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.outcomes import assert_near
from support.script import Reply
from support.telemetry import Telemetry
from support.waiting import wait_until

WAIT = "HTTP wait_for_connection"
SETUP = "HTTP connection_setup"


def seconds(span: ReadableSpan) -> float:
    """How long a span lasted."""
    assert span.start_time is not None
    assert span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


def began(span: ReadableSpan) -> float:
    """A span's start on the monotonic clock."""
    assert span.start_time is not None
    return span.start_time / 1e9 - time.time() + time.monotonic()


def _id(span: ReadableSpan) -> int:
    context = span.get_span_context()
    assert context is not None
    return context.span_id


def _links(span: ReadableSpan) -> list[int]:
    return [link.context.span_id for link in span.links if link.context is not None]


def test_fast_acquire_and_set_up_have_no_span(pool, server, telemetry):
    pool.get(server.url())
    pool.get(server.url())
    assert telemetry.spans() == []


@pytest.mark.modes("sync", "asyncio", "trio")
def test_wait_span_has_times_pool_state_and_a_link_to_the_holder(pool_of_one, server, telemetry):
    tracer = telemetry.tracer_provider.get_tracer("test")
    gate = server.gate()
    with tracer.start_as_current_span("holder") as holding:
        holder = pool_of_one.send(server.reply("/held", Reply(end_after=gate)))
        holder.head()
    with tracer.start_as_current_span("waiter") as waiting:
        waiter = pool_of_one.send(server.url())
        wait_until(lambda: time.monotonic() > waiter.entered + 0.12 and pool_of_one.queued == 1)
    gate.open()
    holder.read()
    waiter.finish()
    (span,) = telemetry.spans(WAIT)
    assert span.name == f"{WAIT} 127.0.0.1:{server.port}"
    assert span.kind is SpanKind.INTERNAL
    assert span.status.status_code is StatusCode.UNSET
    assert_near(began(span), waiter.entered)
    assert_near(seconds(span), server.timeline.at("body_end", "/held") - waiter.entered)
    assert span.parent.span_id == waiting.get_span_context().span_id
    assert _links(span) == [holding.get_span_context().span_id]
    assert span.attributes[semconv.SPAN_CONNECTION_ACTIVE] == 1
    assert span.attributes[semconv.SPAN_CONNECTION_IDLE] == 0
    assert span.attributes[semconv.SPAN_CONNECTION_MAX] == 1
    assert span.attributes[semconv.SPAN_OLDEST_LEASE_PHASE] in ("unread", "reading")
    assert span.attributes[semconv.SERVER_PORT] == server.port


def test_set_up_span_has_connect_and_tls_as_children(
    runner, library, listen, certificates, telemetry
):
    server = listen(HTTP1Server, tls=certificates.server(), setup_after=0.12)
    pool = runner.pool(library, ssl_context=certificates.client())
    tracer = telemetry.tracer_provider.get_tracer("test")
    with tracer.start_as_current_span("request") as current:
        exchange = pool.get(server.url())
    (setup,) = telemetry.spans(SETUP)
    (connect,) = telemetry.spans("socket connect")
    (tls,) = telemetry.spans("TLS client handshake")
    assert setup.name == f"{SETUP} 127.0.0.1:{server.port}"
    assert connect.name == f"socket connect 127.0.0.1:{server.port}"
    assert tls.name == "TLS client handshake 127.0.0.1"
    assert setup.parent.span_id == current.get_span_context().span_id
    for child in (connect, tls):
        assert child.parent.span_id == _id(setup)
        assert child.kind is SpanKind.INTERNAL
    assert_near(began(setup), exchange.entered)
    assert_near(seconds(setup), server.timeline.at("secured") - exchange.entered)
    assert_near(seconds(connect), 0)
    assert_near(seconds(tls), server.timeline.at("secured") - server.timeline.at("accept"))
    assert tls.attributes[semconv.TLS_PROTOCOL_NAME] == "tls"
    assert tls.attributes[semconv.TLS_PROTOCOL_VERSION] == "1.3"
    assert telemetry.spans(WAIT) == []


def test_request_links_to_the_set_up_it_waits_for(runner, library, listen, certificates, telemetry):
    """The set-up has one span, to which the waiting requests link."""
    server = listen(HTTP2Server, tls=certificates.server("h2"), setup_after=0.15)
    context = certificates.client()
    pool = runner.pool(library, http1=False, http2=True, ssl_context=context)
    first = pool.send(server.url())
    server.timeline.wait_for("accept")
    second = pool.send(server.url())
    for exchange in (first, second):
        exchange.finish()
    (setup,) = telemetry.spans(SETUP)
    own = _id(setup)
    linked = [s for s in telemetry.spans() if own in _links(s)]
    assert len(linked) == 1
    assert telemetry.count(semconv.CONNECTION_CREATE_DURATION) == 1


def test_closing_idle_connections_makes_no_span(runner, library, server, telemetry):
    """Neither expiry, a server's close nor the pool's end makes one."""
    pool = runner.pool(library, keepalive_expiry=60)
    pool.get(server.url())
    server.hang_up()
    wait_until(lambda: pool.connections[0].has_expired())
    pool.get(server.url())
    pool.close()
    assert telemetry.spans() == []


def test_current_client_span_gets_reuse_and_wait_as_attributes(pool, server, telemetry):
    """A span of another kind gets none."""
    tracer = telemetry.tracer_provider.get_tracer("test")
    for name, kind in (("one", SpanKind.CLIENT), ("two", SpanKind.CLIENT), ("3", SpanKind.SERVER)):
        with tracer.start_as_current_span(name, kind=kind):
            pool.get(server.url())
    one, two, three = (_attributes(telemetry, name) for name in ("one", "two", "3"))
    assert one == {semconv.CONNECTION_REUSED: False, semconv.SPAN_ACQUIRE_DURATION: 0.0}
    assert two == {semconv.CONNECTION_REUSED: True, semconv.SPAN_ACQUIRE_DURATION: 0.0}
    assert three == {}


def _attributes(telemetry: Telemetry, name: str) -> dict[str, object]:
    (span,) = telemetry.spans(name)
    return dict(span.attributes or {})
