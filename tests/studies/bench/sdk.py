"""CPU time of a whole call of the openai SDK, and what the instrumentation adds to it.

It prints microseconds per call as JSON. The server runs in another thread, which is not counted.
"""

import asyncio
import json
import time

from openai import AsyncOpenAI

from gluellm_pools.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

_CALLS = 100
_ROUNDS = 7


async def _per_call(address: str) -> float:
    async with AsyncOpenAI(base_url=address, api_key="any") as client:
        began = 0.0
        for number in range(_CALLS + 1):
            if number == 1:  # the first one connects
                began = time.thread_time()
            await client.chat.completions.create(
                model="any", messages=[{"role": "user", "content": "Hello"}]
            )
        return (time.thread_time() - began) / _CALLS * 1e6


def main() -> None:
    """Measure both in turn, and print the least: other work on the machine only adds to it."""
    without, with_it = [], []
    with FakeProviderThread() as provider:
        for _ in range(_ROUNDS):
            without.append(asyncio.run(_per_call(provider.openai_url)))
            instrumentor = GlueLLMInstrumentor()
            instrumentor.instrument(scope="all")
            with_it.append(asyncio.run(_per_call(provider.openai_url)))
            instrumentor.uninstrument()
    call = min(without)
    print(json.dumps({"call": round(call), "added": round(min(with_it) - call)}))


if __name__ == "__main__":
    main()
