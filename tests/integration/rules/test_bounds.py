"""The number of series of a provider stays within its budget."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry, generate_latest

from gluellm_pools.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from studies.bench.series import ANOTHER_HOST, everything, healthy
from support.programs import run_with_gluellm

TESTS = str(Path(__file__).parents[2])
HEALTHY, AFTER_FAILURES, OF_A_SOURCE = 140, 290, 40
FOUR_SOURCES = """
    import asyncio, json, sys, any_llm, gluellm, gluellm.model_id, httpx, openai
    from collections import Counter
    from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
    sys.path.append(sys.argv[1])
    from studies.bench.workload import Sdk, series_of

    measured, gluellm.model_id._OPENAI_DEFAULT_HOST = Sdk(), "127.0.0.1"
    GlueLLMInstrumentor().instrument(meter_provider=measured.meters, hosts={"127.0.0.1": "openai"})
    asked = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}

    async def main():
        await gluellm.complete("hi", model="openai:m")
        sdk, llm = openai.AsyncOpenAI().chat.completions, any_llm.AnyLLM.create("openai")
        for create in sdk.create, llm.acompletion:
            async for _ in await create(**asked): pass
        async with httpx.AsyncClient() as http:
            await http.post(f"{openai.OpenAI().base_url}chat/completions", json=asked)

    asyncio.run(main())
    series = Counter()
    for _, point in measured.points():
        if point.attributes.get("gen_ai.provider.name") == "openai":
            series[point.attributes.get("gluellm.call.source", "pools")] += series_of(point)
    print(json.dumps(series))
"""


@pytest.fixture
def scraped() -> Iterator[CollectorRegistry]:
    """Registry of a Prometheus reader for the active instrumentation."""
    reader, registry = PrometheusMetricReader(), CollectorRegistry()
    registry.register(reader._collector)
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    GlueLLMInstrumentor().instrument(meter_provider=provider)
    yield registry
    GlueLLMInstrumentor().uninstrument()
    provider.shutdown()


def series(registry: CollectorRegistry) -> list[str]:
    """Return the series of pools for the tested origin."""
    lines = generate_latest(registry).decode().splitlines()
    of_pools = [line for line in lines if "gluellm_pool_name=" in line and line[0] != "#"]
    return [line for line in of_pools if ANOTHER_HOST not in line]


def test_provider_stays_within_its_series_after_every_failure(scraped):
    """It has at most 140 series while it is healthy, and 290 after every type of error."""
    pool = healthy()
    assert len(series(scraped)) <= HEALTHY
    everything()
    failed = {
        error
        for error in semconv.ERROR_TYPES
        for line in series(scraped)
        if line.startswith("gluellm_pool_requests_total")
        and f'error_type="{error}"' in line
        and not line.endswith(" 0.0")
    }
    # HTTP/1.1 connections ignore write errors, to read the server's response.
    assert failed == set(semconv.ERROR_TYPES) - {semconv.ErrorType.WRITE_ERROR}
    assert len(series(scraped)) <= AFTER_FAILURES
    pool.close()


@pytest.mark.all_sdks
def test_each_source_of_calls_stays_within_its_series(tmp_path: Path) -> None:
    """One process has calls of all four sources, and each adds at most 40 series."""
    pytest.importorskip("gluellm")
    with FakeProviderThread() as provider:
        done = run_with_gluellm(FOUR_SOURCES, TESTS, home=tmp_path, server=provider)
    found = json.loads(done.stdout.splitlines()[-1])
    assert all(0 < found.get(source, 0) <= OF_A_SOURCE for source in semconv.SOURCES), found
