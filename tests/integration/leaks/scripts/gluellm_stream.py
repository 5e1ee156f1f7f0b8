"""Leaves a stream of GlueLLM and closes it. Prints what was told of it, as JSON.

The provider is where the environment says.
"""

from __future__ import annotations

import asyncio
import gc
import json

import gluellm
from gluellm.runtime.context import set_correlation_id
from reports import Reports

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor
from support.waiting import until


async def leave() -> None:
    """Break off after the first chunk, and close the stream."""
    set_correlation_id("order-4711")
    stream = gluellm.stream_complete("hi", model="openai:m", correlation_id="order-4711")
    async for _ in stream:  # place: gluellm
        break
    await stream.aclose()


async def run() -> None:
    """Leave one stream, wait for the warning, and collect garbage until it is over."""
    with Reports.listen() as reports:
        await leave()
        leak = await reports.leak()

        def collected() -> bool:
            gc.collect()
            return bool(reports.over())

        await until(collected, "its end")
    print(json.dumps({**vars(leak), "over": reports.over()[0].how}), flush=True)
    await gluellm.close_providers()


gc.disable()
GlueLLMInstrumentor().instrument(leak_threshold=2)
asyncio.run(run())
