"""The provider attribute of series, for pools that several providers share."""

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from gluellm_pools.fake_provider import FakeProvider, FakeProviderThread
from opentelemetry.instrumentation.gluellm import snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.clients import Runner
from support.libraries import Library
from support.providers import CHAT, HTTP_OF_OPENAI, create

HOSTS = {"api.openai.com": "openai", "api.anthropic.com": "anthropic", "example.com": None}
ORIGIN_LEVEL = (
    semconv.OPEN_CONNECTIONS,
    semconv.REQUESTS,
    semconv.ACQUIRE_DURATION,
    semconv.LEASE_DURATION,
    semconv.CONNECTION_CREATE_DURATION,
)


@pytest.fixture
def hosts_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Resolve the hosts to the loopback address."""
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        return resolve("127.0.0.1" if name in HOSTS else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def provider_server() -> Iterator[FakeProvider]:
    with FakeProviderThread() as provider:
        yield provider


@pytest.mark.usefixtures("hosts_are_here")
@pytest.mark.parametrize(
    ("library_name", "mode"),
    [("httpx", "sync"), ("httpx2", "asyncio"), ("aiohttp", "asyncio"), ("urllib3", "sync")],
)
def test_origins_of_a_shared_client_have_their_own_providers(
    library_name, mode, server, instrument
):
    """The pool has no provider, since it is used for all of them."""
    telemetry = instrument()
    with Runner.start(mode) as runner:
        client = runner.client(Library.load(library_name))
        for host in HOSTS:
            for _ in range(2):
                client.get(f"http://{host}:{server.port}/")
        for metric in ORIGIN_LEVEL:
            found = telemetry.by(metric, "address", "provider")
            assert set(found) == set(HOSTS.items()), metric.name
        assert telemetry.by(semconv.REQUESTS, "provider") == {"openai": 2, "anthropic": 2, None: 2}
        assert telemetry.by(semconv.POOL_LIVE, "provider").keys() == {None}
        opened = telemetry.by(semconv.CONNECTION_OPENED, "provider")
        assert opened == {"openai": 1, None: 2}
        totals = snapshot().totals[0]
        assert totals.provider is None
        assert {origin.provider for origin in totals.origins} == set(HOSTS.values())
        assert "providers openai 2, anthropic 2, unknown 2" in " ".join(str(snapshot()).split())


@pytest.mark.parametrize("scope", ["llm", "all"])
def test_client_shared_by_two_providers_has_a_series_for_each(scope, provider_server, instrument):
    """This also holds for one origin. Connections have the latest request's provider."""
    telemetry = instrument(scope=scope)

    async def ask() -> None:
        async with HTTP_OF_OPENAI.AsyncClient() as client:
            first = create("openai", provider_server, http_client=client)
            second = create("openrouter", provider_server, http_client=client)
            await first.acompletion(model="m", **CHAT)
            assert telemetry.by(semconv.POOL_LIVE, "provider") == {"openai": 1}
            assert telemetry.by(semconv.OPEN_CONNECTIONS, "provider", "state") == {
                ("openai", "idle"): 1
            }
            await first.acompletion(model="m", **CHAT)
            await second.acompletion(model="m", **CHAT)
            assert telemetry.by(semconv.REQUESTS, "provider") == {"openai": 2, "openrouter": 1}
            for metric in (semconv.ACQUIRE_DURATION, semconv.LEASE_DURATION):
                assert telemetry.by(metric, "provider") == {"openai": 2, "openrouter": 1}
            assert telemetry.by(semconv.OPEN_CONNECTIONS, "provider", "state") == {
                ("openrouter", "idle"): 1
            }
            assert telemetry.by(semconv.POOL_LIVE, "provider") == {None: 1}
            assert telemetry.by(semconv.POOL_OPENED, "provider") == {"openai": 1}
            assert telemetry.by(semconv.CONNECTION_OPENED, "provider", "name") == {
                ("openai", "openai"): 1
            }

    asyncio.run(ask())
    assert telemetry.value(semconv.POOL_LIVE) == 0


def test_connections_from_before_instrument_have_the_later_requests_provider(
    provider_server, instrument
):
    """Requests before ``instrument()`` are unknown, but their connections exist."""

    async def ask() -> None:
        async with HTTP_OF_OPENAI.AsyncClient() as client:
            llm = create("openai", provider_server, http_client=client)
            await llm.acompletion(model="m", **CHAT)
            telemetry = instrument(scope="llm")
            await llm.acompletion(model="m", **CHAT)
            providers = {
                (point.attributes or {}).get(semconv.PROVIDER_NAME)
                for point in telemetry.points(semconv.OPEN_CONNECTIONS)
            }
            assert providers == {"openai"}

    asyncio.run(ask())
