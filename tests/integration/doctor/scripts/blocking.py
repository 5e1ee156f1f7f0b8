"""Blocks its event loop while a call is under way. Argument: the provider's URL."""

import asyncio
import sys
import time

from any_llm import AnyLLM

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot

MESSAGES = [{"role": "user", "content": "hello"}]


def block() -> None:
    print("blocked", flush=True)
    time.sleep(60)


def answer_is_awaited() -> bool:
    requests = (request for pool in snapshot().pools for request in pool.requests)
    return any(request.phase == "awaiting_response" for request in requests)


async def main(url: str) -> None:
    llm = AnyLLM.create("openai", api_key="any", api_base=url)
    call = asyncio.ensure_future(llm.acompletion(model="some-model", messages=MESSAGES))
    while not answer_is_awaited():
        await asyncio.sleep(0.01)
    block()
    await call


GlueLLMInstrumentor().instrument()
asyncio.run(main(sys.argv[1]))
