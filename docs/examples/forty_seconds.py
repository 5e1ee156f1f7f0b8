"""One call of 40 seconds, and where they went: docs/where-40-seconds-go.md explains the output.

A fake provider refuses the call twice with 429 and a Retry-After, then answers after 11 s.

    python docs/examples/forty_seconds.py
"""

from __future__ import annotations

import asyncio

from any_llm import AnyLLM
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from gluellm_pools.fake_provider import Behaviour, FakeProvider
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot

RETRY_AFTER = 14.0
ANSWER_AFTER = 11.0
LOOK_AFTER = 20.0
MESSAGES = [{"role": "user", "content": "Hello"}]


async def call() -> None:
    """Make the call, and print a snapshot while it runs."""
    refused = Behaviour(status=429, retry_after=RETRY_AFTER)
    async with FakeProvider(behaviour=Behaviour(head_delay=ANSWER_AFTER)) as provider:
        provider.script(refused, refused)
        llm = AnyLLM.create("openai", api_key="any", api_base=provider.openai_url)
        running = asyncio.create_task(llm.acompletion(model="gpt-4o", messages=MESSAGES))
        await asyncio.sleep(LOOK_AFTER)
        print(snapshot())
        await running


def main() -> None:
    """Make the call, then print its span."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    GlueLLMInstrumentor().instrument(
        meter_provider=MeterProvider([reader]), tracer_provider=tracer_provider
    )
    asyncio.run(call())
    reader.collect()
    for span in spans.get_finished_spans():
        if span.name == "gluellm.call":
            print(f"\n{span.name} {(span.end_time - span.start_time) / 1e9:.1f} s")
            for key, value in span.attributes.items():
                print(f"  {key} {value:.2f}" if isinstance(value, float) else f"  {key} {value}")


if __name__ == "__main__":
    main()
