"""Blocks its event loop while a call is under way. Argument: the provider's URL."""

import asyncio
import sys
import time

from any_llm import AnyLLM

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

MESSAGES = [{"role": "user", "content": "hello"}]


def block() -> None:
    print("blocked", flush=True)
    time.sleep(60)


async def main(url: str) -> None:
    llm = AnyLLM.create("openai", api_key="any", api_base=url)
    await llm.acompletion(model="some-model", messages=MESSAGES)
    call = asyncio.ensure_future(
        llm.acompletion(model="some-model", messages=MESSAGES, stream=True)
    )
    stream = await call
    async for _ in stream:
        block()


GlueLLMInstrumentor().instrument()
asyncio.run(main(sys.argv[1]))
