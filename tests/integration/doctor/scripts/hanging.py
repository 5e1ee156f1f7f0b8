"""Hang in a call that waits for a connection, since unread streams hold all of them.

Argument: the provider's URL.
"""

import asyncio
import logging
import sys

import httpx

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

CALL = {"model": "some-model", "messages": [{"role": "user", "content": "hello"}], "stream": True}
CONNECTIONS = 2
kept = []


def announce(record: logging.LogRecord) -> bool:
    """Print a line when the instrumentation logs a leak."""
    if "leak" in record.getMessage():
        print("leaked", flush=True)
    return True


async def abandon(client: httpx.AsyncClient, request: httpx.Request) -> None:
    kept.append(await client.send(request, stream=True))


async def main(url: str) -> None:
    limits = httpx.Limits(max_connections=CONNECTIONS)
    client = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)
    request = client.build_request("POST", f"{url}/chat/completions", json=CALL)
    for _ in range(CONNECTIONS):
        await abandon(client, request)
    await client.send(request)


logging.basicConfig()
logging.getLogger("opentelemetry.instrumentation.gluellm").addFilter(announce)
GlueLLMInstrumentor().instrument(scope="all", leak_threshold=2)
asyncio.run(main(sys.argv[1]))
