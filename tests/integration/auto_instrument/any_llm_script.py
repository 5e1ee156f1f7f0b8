"""Make three calls with any-llm on a pool of one connection. The script sets up no telemetry."""

import asyncio
import importlib
import sys

from any_llm import AnyLLM


async def main(base_url: str, library: str) -> None:
    http = importlib.import_module(library)
    client = http.AsyncClient(limits=http.Limits(max_connections=1))
    llm = AnyLLM.create("openai", api_key="any", api_base=base_url, http_client=client)
    calls = (
        llm.acompletion(model="some-model", messages=[{"role": "user", "content": "hello"}])
        for _ in range(3)
    )
    for answer in await asyncio.gather(*calls):
        assert answer.choices[0].message.content
    await client.aclose()


asyncio.run(main(*sys.argv[1:]))
