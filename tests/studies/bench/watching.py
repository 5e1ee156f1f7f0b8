"""What runs by the clock while requests are under way: the watch's looks, the loop's timer.

It prints milliseconds of CPU a second as JSON, with and without the
package side by side.
"""

from __future__ import annotations

import asyncio
import json
import time

import httpx2

from opentelemetry.instrumentation.gluellm.attribution.context import current_call

from .network import AsyncBackend, streamed
from .workload import OFF, OURS, Instrumentation, Sdk, any_llm_call

_SECONDS = 5.0
_URL = "http://api.test/v1/chat/completions"


async def _idle_with(requests: int, what: str) -> float:
    """CPU milliseconds a second of an idle loop that holds so many unread streams."""
    instrumentation = Instrumentation("httpx2", Sdk())
    instrumentation.turn(what)
    token = current_call.set(any_llm_call() if what == OURS else None)
    client = httpx2.AsyncClient(trust_env=False)
    client._transport._pool._network_backend = AsyncBackend(streamed([b"data: x\n\n"] * 10))
    held = [
        await client.send(client.build_request("POST", _URL), stream=True) for _ in range(requests)
    ]
    current_call.reset(token)
    await asyncio.sleep(1.5)  # the watch begins
    began = time.process_time()
    await asyncio.sleep(_SECONDS)
    took = time.process_time() - began
    for response in held:
        await response.aclose()
    await client.aclose()
    instrumentation.turn(OFF)
    return 1e3 * took / _SECONDS


def main() -> None:
    """Measure and print."""
    found = {}
    for requests in (1, 100):
        without = asyncio.run(_idle_with(requests, OFF))
        found[f"{requests} requests"] = asyncio.run(_idle_with(requests, OURS)) - without
    print(json.dumps(found))


if __name__ == "__main__":
    main()
