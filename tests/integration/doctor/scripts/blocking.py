"""Block the event loop while a call is in flight. Argument: the provider's URL."""

import asyncio
import sys
import time

import httpx

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot

CALL = {"model": "some-model", "messages": [{"role": "user", "content": "hello"}]}


def block() -> None:
    print("blocked", flush=True)
    time.sleep(60)


def answer_is_awaited() -> bool:
    requests = (request for pool in snapshot().pools for request in pool.requests)
    return any(request.phase == "awaiting_response" for request in requests)


async def main(url: str) -> None:
    headers = {"authorization": "Bearer any"}
    async with httpx.AsyncClient(trust_env=False, headers=headers) as client:
        call = asyncio.ensure_future(client.post(f"{url}/chat/completions", json=CALL))
        while not answer_is_awaited():
            await asyncio.sleep(0.01)
        block()
        await call


GlueLLMInstrumentor().instrument(scope="all")
asyncio.run(main(sys.argv[1]))
