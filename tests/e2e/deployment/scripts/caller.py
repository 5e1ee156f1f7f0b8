"""Make calls on demand. It sets up no telemetry: run it under opentelemetry-instrument.

Argument: the provider's base URL. For each number on standard input, it makes that many calls and
prints ``called``. It ends with standard input.
"""

import asyncio
import sys

from any_llm import AnyLLM


async def main(url: str) -> None:
    llm = AnyLLM.create("openai", api_key="any", api_base=url)
    while line := await asyncio.to_thread(sys.stdin.readline):
        for _ in range(int(line)):
            await llm.acompletion(model="some", messages=[{"role": "user", "content": "hello"}])
        print("called", flush=True)
    await llm.client.close()


asyncio.run(main(*sys.argv[1:]))
