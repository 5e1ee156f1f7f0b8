"""Clients that are instrumented alone, and clients that exist before the instrumentation."""

import gc
from typing import Any

import anthropic
import openai
import pytest

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.attribution.context import current_call
from opentelemetry.instrumentation.gluellm.pool.call import Call
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.http1 import HTTP1Server
from support.http2 import HTTP2Server
from support.script import Reply
from support.telemetry import Telemetry

from .conftest import BOTH


@pytest.fixture
def only_clients(providers: Telemetry) -> Any:
    """Call instrument_client(), with in-memory providers, without instrument()."""

    def turn_on(client: Any, pool_name: str | None = None) -> Telemetry:
        GlueLLMInstrumentor.instrument_client(
            client,
            pool_name,
            meter_provider=providers.meter_provider,
            tracer_provider=providers.tracer_provider,
        )
        return providers

    yield turn_on
    installation = GlueLLMInstrumentor._installation
    if installation is not None:
        GlueLLMInstrumentor._installation = None
        installation.uninstall()
    gc.collect()  # else the next test's client would not be the last one


# Clients that are instrumented alone


@pytest.mark.parametrize(
    "client",
    [
        lambda: openai.OpenAI(api_key="k", base_url="http://127.0.0.1:9"),
        lambda: openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1:9"),
        lambda: anthropic.Anthropic(api_key="k", base_url="http://127.0.0.1:9"),
        lambda: anthropic.AsyncAnthropic(api_key="k", base_url="http://127.0.0.1:9"),
    ],
)
def test_sdk_client_is_accepted(client, only_clients):
    """Users have the SDK's client, which contains one of httpx."""
    made = client()
    only_clients(made, "sdk")
    GlueLLMInstrumentor.uninstrument_client(made)
    assert GlueLLMInstrumentor._installation is None


@BOTH
def test_pools_for_proxies_belong_to_their_client(library, server, only_clients):
    """With a proxy, the client uses the pool of a mount, not that of its transport."""
    with library.client.Client(trust_env=False, proxy=server.origin) as client:
        telemetry = only_clients(client, "proxied")
        assert client.get("http://api.test/").status_code == 200
        assert telemetry.by(semconv.REQUESTS, "name", "address") == {("proxied", "api.test"): 1}


@BOTH
def test_client_in_use_is_observed_from_its_next_request_on(threads, library, server, only_clients):
    """Requests in flight continue and are not counted."""
    gate = server.gate()
    client = threads.client(library)
    running = client.send(server.reply("/slow", Reply(end_after=gate)))
    running.head()
    telemetry = only_clients(client.raw, "late")
    client.get(server.url())
    gate.open()
    running.read()
    assert telemetry.by(semconv.REQUESTS, "name") == {"late": 1}
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == 2


def test_uninstrumented_client_is_no_longer_observed(runner, library, server, only_clients):
    """Other clients still are. With the last client, all hooks are removed.

    A second uninstrument_client() has no effect.
    """
    first, second = runner.client(library), runner.client(library)
    telemetry = only_clients(first.raw, "first")
    only_clients(second.raw, "second")
    for client in (first, second):
        client.get(server.url())
    GlueLLMInstrumentor.uninstrument_client(first.raw)
    GlueLLMInstrumentor.uninstrument_client(first.raw)
    for client in (first, second):
        client.get(server.url())
    assert telemetry.by(semconv.REQUESTS, "name") == {"first": 1, "second": 2}
    assert telemetry.value(semconv.POOL_LIVE) == 1
    original = library.core.ConnectionPool.handle_request
    GlueLLMInstrumentor.uninstrument_client(second.raw)
    assert library.core.ConnectionPool.handle_request is not original
    second.get(server.url())
    assert telemetry.points(semconv.REQUESTS) == []


def test_client_can_be_instrumented_again(threads, library, server, only_clients):
    """Its new name applies. Counts under the first name are kept."""
    client = threads.client(library)
    telemetry = only_clients(client.raw, "first")
    client.get(server.url())
    GlueLLMInstrumentor.uninstrument_client(client.raw)
    only_clients(client.raw, "second")
    client.get(server.url())
    assert telemetry.by(semconv.REQUESTS, "name") == {"first": 1, "second": 1}


def test_uninstrumented_client_is_not_observed_within_instrument(
    threads, library, server, instrument
):
    """uninstrument_client() also applies in any-llm calls."""
    telemetry = instrument()
    client = threads.client(library)
    client.get(server.url())
    GlueLLMInstrumentor.uninstrument_client(client.raw)
    client.get(server.url())
    token = current_call.set(Call("openai"))
    client.raw.get(server.url())
    current_call.reset(token)
    assert telemetry.value(semconv.REQUESTS) == 1
    assert telemetry.value(semconv.POOL_LIVE) == 0


def test_instrumented_clients_keep_their_names_after_instrument(
    threads, library, server, only_clients, instrument
):
    mine, other = threads.client(library), threads.client(library)
    telemetry = only_clients(mine.raw, "mine")
    mine.get(server.url())
    instrument()
    mine.get(server.url())
    other.get(server.url())
    assert telemetry.value(semconv.REQUESTS, name="mine") == 2
    assert telemetry.value(semconv.REQUESTS, name=library.name) == 1
    assert telemetry.count(semconv.LEASE_DURATION, name="mine") == 2


# Clients that exist before the instrumentation


@BOTH
@pytest.mark.parametrize("http2", [False, True], ids=["1.1", "2"])
def test_request_object_sent_twice_at_once_counts_as_two_requests(
    library, http2, listen, instrument, threads
):
    server = listen(HTTP2Server if http2 else HTTP1Server)
    telemetry = instrument()
    pool = library.core.ConnectionPool(http1=not http2, http2=http2)
    request = library.request(server.url())
    first = pool.handle_request(request)
    second = pool.handle_request(request)
    for in_flight, response in ((2, first), (1, second)):
        assert telemetry.value(semconv.ACTIVE_REQUESTS) == in_flight
        response.read()
        response.close()
    assert telemetry.value(semconv.ACTIVE_REQUESTS) == 0
    assert telemetry.by(semconv.REQUESTS, "status") == {200: 2}
    assert telemetry.count(semconv.LEASE_DURATION) == 2
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="idle") == (1 if http2 else 2)
    assert telemetry.value(semconv.OPEN_CONNECTIONS, state="active") == 0
    pool.close()
