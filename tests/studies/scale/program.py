"""One healthy program with five providers: real any-llm calls, exported to a Prometheus.

Its argument is the base URL of an OTLP endpoint. It has its own process, since an instrumentation
covers a whole process.
"""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

from any_llm import AnyLLM
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

PROVIDERS: Final = ("openai", "anthropic", "deepseek", "openrouter", "perplexity")
"""Keys of any-llm, all of them on an SDK that the tests install."""
RESOURCE: Final = dict(
    pair.split("=")
    for pair in (
        "service.namespace=shop service.name=answers service.instance.id=one service.version=1.0.0 "
        "deployment.environment.name=production k8s.cluster.name=cluster k8s.namespace.name=shop "
        "k8s.pod.name=answers-1"
    ).split()
)
"""Each of these becomes a label with the users' configuration of Prometheus."""
_AT_ONCE: Final = 3
_BEHAVIOUR: Final = Behaviour(head_delay=0.2, tokens=5, token_rate=50)
_NEVER: Final = 3_600_000.0
"""Milliseconds between exports; only the last one, at the end, is needed."""
_MESSAGES: Final[list[Any]] = [{"role": "user", "content": "hello"}]


async def _calls(llm: AnyLLM, fake: FakeProvider) -> None:
    """Make the calls of a healthy pool: on connections that are new, reused and closed, with whole
    answers and a stream."""
    await asyncio.gather(*(_complete(llm) for _ in range(_AT_ONCE)))
    await _complete(llm)
    fake.script(replace(_BEHAVIOUR, close=True))
    await _complete(llm)
    stream: Any = await llm.acompletion(model="some", messages=_MESSAGES, stream=True, max_tokens=9)
    async for _ in stream:
        pass


async def _complete(llm: AnyLLM) -> None:
    await llm.acompletion(model="some", messages=_MESSAGES, max_tokens=9)


async def _run(meter_provider: MeterProvider) -> None:
    async with AsyncExitStack() as exits:
        # One per provider, so that each has its own origin.
        fakes = [FakeProvider(behaviour=_BEHAVIOUR) for _ in PROVIDERS]
        for fake in fakes:
            await exits.enter_async_context(fake)
        llms = list(map(_client, PROVIDERS, fakes))
        await asyncio.gather(*map(_calls, llms, fakes))
        # While the clients live, as they do in a program that serves.
        await asyncio.to_thread(meter_provider.shutdown)
        for llm in llms:
            await llm.client.close()  # type: ignore[attr-defined]


def _client(provider: str, fake: FakeProvider) -> AnyLLM:
    url = fake.anthropic_url if provider == "anthropic" else fake.openai_url
    return AnyLLM.create(provider, api_key="any", api_base=url, timeout=60.0)


def main(endpoint: str) -> None:
    """Run, and export once."""
    exporter = OTLPMetricExporter(endpoint=f"{endpoint}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=_NEVER)
    meter_provider = MeterProvider(
        [reader], resource=Resource.create(RESOURCE), shutdown_on_exit=False
    )
    GlueLLMInstrumentor().instrument(meter_provider=meter_provider)
    asyncio.run(_run(meter_provider))


if __name__ == "__main__":
    main(sys.argv[1])
