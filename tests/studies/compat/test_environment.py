"""Installed libraries are measured in each environment, and missing ones do no harm.

The tests run anywhere; nox runs them where libraries are missing, old or new.
"""

import asyncio
import importlib
import importlib.util
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import pytest
from packaging.version import Version

from gluellm_pools.fake_provider import Behaviour, FakeProvider, FakeProviderThread
from opentelemetry import trace
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.installation import in_memory, instrument
from support.telemetry import Telemetry

LOGGER = "opentelemetry.instrumentation.gluellm"
MESSAGES: list[Any] = [{"role": "user", "content": "hello"}]
LIBRARIES = ("httpx", "httpx2", "aiohttp", "urllib3", "grpc")
CAME_WITH = {
    ("grpc", "earlier_channels"): ("grpcio", "1.85"),
    ("httpx", "upgrade"): ("httpcore", "1.0.4"),
    ("urllib3", "read"): ("urllib3", "1.26.11"),
}
"""Hooks that older versions lack; docs/maintainers/compatibility.md describes the effects."""


def installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


needs_any_llm = pytest.mark.skipif(not installed("any_llm"), reason="any-llm is not installed")


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake LLM provider on loopback."""
    with FakeProviderThread() as running:
        yield running


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    """Telemetry in memory; what a test instrumented is restored."""
    with in_memory() as found:
        yield found


def requests(telemetry: Telemetry) -> dict[Any, int]:
    return telemetry.by(semconv.REQUESTS, "provider", "library", "status")


def library_of_openai() -> str:
    """openai moved from httpx to httpx2 with its third major version."""
    return "httpx2" if int(version("openai").split(".")[0]) >= 3 else "httpx"


def test_environment_lacks_what_it_should() -> None:
    """Without this, a dependency that comes back would make the run test nothing."""
    absent = [name for name in os.environ.get("GLUELLM_ABSENT", "").split(",") if name]
    assert not [name for name in absent if installed(name)]


def test_only_newer_hooks_are_missing_and_a_missing_package_logs_no_warning(
    telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    """Without h2 there is no HTTP/2 to observe, so a warning and an alert would never end."""
    with caplog.at_level(logging.WARNING, LOGGER):
        instrument(telemetry)
        found = [library for library in LIBRARIES if installed(library)]
        for library in found:
            importlib.import_module(library.replace("httpx", "httpcore"))
    assert not [record for record in caplog.records if "'http2'" in record.getMessage()]
    points = telemetry.points(semconv.HOOK_MISSING)
    assert {point.attributes[semconv.HOOK_LIBRARY] for point in points} >= set(found)
    assert set(snapshot().process.missing_hooks) == {
        f"{library}: {hook}"
        for (library, hook), (distribution, since) in CAME_WITH.items()
        if library in found and Version(version(distribution)) < Version(since)
    }


@pytest.mark.parametrize("library", ["httpx", "httpx2", "urllib3", "aiohttp"])
def test_plain_requests_are_measured(
    library: str, provider: FakeProvider, telemetry: Telemetry
) -> None:
    """With scope "all", each installed library is observed; a missing one stops nothing."""
    module = pytest.importorskip(library)
    instrument(telemetry)
    url = f"{provider.openai_url}/models"

    async def by_aiohttp() -> None:
        async with module.ClientSession() as session:
            for _ in range(3):
                async with session.get(url) as response:
                    await response.read()

    if library == "aiohttp":
        asyncio.run(by_aiohttp())
    elif library == "urllib3":
        with module.PoolManager() as pool:
            assert [pool.request("GET", url).status for _ in range(3)] == [200] * 3
    else:
        with module.Client() as client:
            assert [client.get(url).status_code for _ in range(3)] == [200] * 3
    assert telemetry.by(semconv.REQUESTS, "library", "status") == {(library, 200): 3}
    assert telemetry.by(semconv.LEASE_DURATION, "library") == {library: 3}
    assert telemetry.value(semconv.CONNECTION_OPENED) == 1


def test_calls_of_sync_and_async_grpc_channels_are_measured(telemetry: Telemetry) -> None:
    grpc = pytest.importorskip("grpc")
    instrument(telemetry)
    echo = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    handler = grpc.method_handlers_generic_handler("test", {"Echo": echo})
    server = grpc.server(ThreadPoolExecutor(2), handlers=(handler,))
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()

    async def calls() -> None:
        async with grpc.aio.insecure_channel(target) as channel:
            for _ in range(2):
                assert await channel.unary_unary("/test/Echo")(b"hello") == b"hello"

    try:
        with grpc.insecure_channel(target) as channel:
            assert channel.unary_unary("/test/Echo")(b"hello") == b"hello"
        asyncio.run(calls())
    finally:
        server.stop(None).wait()
    assert telemetry.by(semconv.LEASE_DURATION, "library") == {"grpc": 3}


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_calls_and_streams_of_an_sdk_are_measured(
    sdk: str, provider: FakeProvider, telemetry: Telemetry
) -> None:
    """A call, a stream and an async call, on whichever library the SDK uses."""
    module = pytest.importorskip(sdk)
    kind = {"openai": "OpenAI", "anthropic": "Anthropic"}[sdk]
    settings: dict[str, Any] = {"api_key": "any", "base_url": getattr(provider, f"{sdk}_url")}
    asked: dict[str, Any] = {"model": "some-model", "messages": MESSAGES, "max_tokens": 16}

    def create(client: Any, **more: Any) -> Any:
        calls = client.chat.completions if sdk == "openai" else client.messages
        return calls.create(**asked, **more)

    async def call() -> None:
        async with getattr(module, f"Async{kind}")(**settings) as client:
            assert await create(client)

    instrument(telemetry)
    with getattr(module, kind)(**settings) as client:
        modules = {each.__module__.partition(".")[0] for each in type(client._client).__mro__}
        (library,) = {name for name in modules if name.startswith("httpx")}
        assert create(client)
        assert list(create(client, stream=True))
    asyncio.run(call())
    assert telemetry.by(semconv.REQUESTS, "library", "status") == {(library, 200): 3}


@pytest.mark.skipif(
    not installed("anthropic._tracing"), reason="anthropic has no spans of its own before 1.14"
)
@pytest.mark.parametrize("propagation", [True, False])
def test_anthropic_sends_the_context_of_its_own_span(
    propagation: bool,
    provider: FakeProvider,
    telemetry: Telemetry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On by default. The call counts once, and its wait is a child of the SDK's span."""
    anthropic = pytest.importorskip("anthropic")
    if not propagation:
        monkeypatch.setenv("ANTHROPIC_OPEN_TELEMETRY_PROPAGATION", "false")
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", telemetry.tracer_provider)
    instrument(telemetry, scope="llm", span_min_duration=0.0)
    sent: list[str | None] = []
    with anthropic.Anthropic(api_key="any", base_url=provider.anthropic_url) as client:
        client._client.event_hooks = {
            "request": [lambda request: sent.append(request.headers.get("traceparent"))]
        }
        assert client.messages.create(model="some-model", messages=MESSAGES, max_tokens=16)
    (own,) = (span for span in telemetry.spans() if span.kind is trace.SpanKind.CLIENT)
    scope = own.instrumentation_scope
    assert scope is not None
    assert scope.name == "com.anthropic.sdk.python"
    context = own.context
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
    assert sent == [parent if propagation else None]
    others = [span for span in telemetry.spans() if span is not own]
    assert others
    assert {span.context.trace_id for span in others} == {context.trace_id}
    assert telemetry.by(semconv.CALLS, "provider") == {"anthropic": 1}


@needs_any_llm
def test_any_llm_calls_are_measured_with_their_provider(
    provider: FakeProvider, telemetry: Telemetry
) -> None:
    from any_llm import AnyLLM

    instrument(telemetry, scope="llm")

    async def calls() -> None:
        openai = AnyLLM.create("openai", api_key="any", api_base=provider.openai_url)
        anthropic = AnyLLM.create("anthropic", api_key="any", api_base=provider.anthropic_url)
        for _ in range(2):
            await openai.acompletion(model="some-model", messages=MESSAGES)
        await anthropic.acompletion(model="some-model", messages=MESSAGES, max_tokens=16)
        await openai.client.close()
        await anthropic.client.close()

    asyncio.run(calls())
    assert requests(telemetry) == {
        ("openai", library_of_openai(), 200): 2,
        ("anthropic", "httpx", 200): 1,
    }


@needs_any_llm
def test_waiting_for_a_connection_is_measured(provider: FakeProvider, telemetry: Telemetry) -> None:
    """Two calls on a pool of one: a metric and a span report the second's wait."""
    from any_llm import AnyLLM

    instrument(telemetry, scope="llm")
    http = importlib.import_module(library_of_openai())
    provider.behaviour = Behaviour(head_delay=0.3)

    async def calls() -> None:
        async with http.AsyncClient(limits=http.Limits(max_connections=1)) as client:
            llm = AnyLLM.create(
                "openai", api_key="any", api_base=provider.openai_url, http_client=client
            )
            both = (llm.acompletion(model="some-model", messages=MESSAGES) for _ in range(2))
            await asyncio.gather(*both)

    asyncio.run(calls())
    assert telemetry.count(semconv.ACQUIRE_DURATION) == 2
    assert telemetry.total(semconv.ACQUIRE_DURATION) > 0.2
    assert len(telemetry.spans(f"HTTP wait_for_connection 127.0.0.1:{provider.port}")) == 1


@pytest.mark.skipif(not installed("gluellm"), reason="GlueLLM is not installed")
def test_gluellm_calls_are_measured(
    provider: FakeProvider, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GlueLLM hands its own httpx client to any-llm."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", provider.openai_url)
    instrument(telemetry, scope="llm")
    from gluellm import complete

    asyncio.run(complete("hello", model="openai:some-model"))
    assert requests(telemetry) == {("openai", "httpx", 200): 1}


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_http_spans_need_their_package_and_warn_once_without_it(
    library: str, provider: FakeProvider, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    client_library = pytest.importorskip(library)
    with caplog.at_level(logging.WARNING, LOGGER):
        instrument(telemetry, http_spans=True)
    with client_library.Client() as client:
        client.get(f"{provider.openai_url}/models").raise_for_status()
    clients = [span for span in telemetry.spans() if span.kind.name == "CLIENT"]
    warned = [r for r in caplog.records if "opentelemetry-instrumentation-httpx" in r.getMessage()]
    there = installed("opentelemetry.instrumentation.httpx")
    assert (len(clients), len(warned)) == ((1, 0) if there else (0, 1))
    assert sum(requests(telemetry).values()) == 1


def test_uninstrumented_requests_are_not_measured(
    provider: FakeProvider, telemetry: Telemetry
) -> None:
    instrument(telemetry)
    GlueLLMInstrumentor().uninstrument()
    for library in filter(installed, ("httpx", "httpx2")):
        with importlib.import_module(library).Client() as client:
            client.get(f"{provider.openai_url}/models").raise_for_status()
    assert not requests(telemetry)
