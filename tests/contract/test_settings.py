"""Effects of the settings of ``instrument()``: scope, names, full metrics."""

import time

import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.installation import instrument
from support.outcomes import assert_near, assert_rows
from support.rows import new
from support.script import Reply


def test_default_scope_has_no_pools_outside_any_llm(runner, library, server, untouched):
    """``scope="llm"`` reports only pools that carry requests to LLMs."""
    instrument(untouched, scope="llm")
    runner.pool(library).get(server.url())
    assert_rows(untouched)
    assert untouched.points(semconv.POOL_OPENED) == []
    assert untouched.points(semconv.OPEN_CONNECTIONS) == []


def test_instrumented_client_has_the_given_name(runner, library, server, untouched):
    """``instrument_client()`` observes one client in every scope until uninstrument_client()."""
    instrument(untouched, scope="llm")
    client, other = runner.client(library), runner.client(library)
    GlueLLMInstrumentor().instrument_client(client.raw, pool_name="mine")
    client.get(server.url())
    other.get(server.url())
    assert_rows(untouched, new())
    assert untouched.count(semconv.ACQUIRE_DURATION, name="mine", library=library.name) == 1
    GlueLLMInstrumentor().uninstrument_client(client.raw)
    client.get(server.url())
    assert_rows(untouched, new())
    assert untouched.value(semconv.POOL_LIVE) == 0


@pytest.mark.only("httpx", "httpx2", "aiohttp", "urllib3")
@pytest.mark.usefixtures("untouched")
def test_last_client_that_is_uninstrumented_ends_the_observation(runner, library):
    """The application still has a reference to the client."""
    client = runner.client(library)
    GlueLLMInstrumentor().instrument_client(client.raw)
    snapshot()
    GlueLLMInstrumentor().uninstrument_client(client.raw)
    with pytest.raises(RuntimeError, match="instrument"):
        snapshot()


def test_full_metrics_have_handshake_lifetime_and_requests_of_a_connection(
    runner, library, listen, certificates, untouched
):
    """They also have the time until each response."""
    instrument(untouched, metrics="full")
    server = listen(HTTP1Server, tls=certificates.server(), setup_after=0.15)
    server.reply("/", Reply(head_after=0.1))
    pool = runner.pool(library, ssl_context=certificates.client())
    pool.get(server.url())
    last = pool.get(server.url())
    pool.close()
    closed = time.monotonic()
    timeline = server.timeline
    heads = sum(timeline.at("head", nth=n) - timeline.at("request", nth=n) for n in (0, 1))
    assert untouched.count(semconv.RESPONSE_WAIT_DURATION) == 2
    assert_near(untouched.total(semconv.RESPONSE_WAIT_DURATION), heads)
    assert untouched.count(semconv.CONNECTION_TLS_DURATION) == 1
    handshake = timeline.at("secured") - timeline.at("accept")
    assert_near(untouched.total(semconv.CONNECTION_TLS_DURATION), handshake)
    assert untouched.count(semconv.CONNECTION_DURATION, version="1.1") == 1
    assert_near(untouched.total(semconv.CONNECTION_DURATION), closed - timeline.at("secured"))
    assert untouched.total(semconv.CONNECTION_REQUESTS) == 2
    assert untouched.count(semconv.CONNECTION_REQUESTS) == 1
    assert last.duration >= 0.1
