"""Forks while it is watched, and leaves a stream in both processes.

Argument: the provider's URL. Prints a line of JSON for the child, and one for the parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

import any_llm
from reports import Reports

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

CALL: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}], "stream": True}


def watches() -> int:
    """How many threads watch."""
    return sum(thread.name == "gluellm-pool-watch" for thread in threading.enumerate())


def create() -> Any:
    """A provider's instance."""
    return any_llm.AnyLLM.create("openai", api_key="any", api_base=sys.argv[1])


async def read(llm: Any) -> None:
    """Make a call and read all of it."""
    async for _ in await llm.acompletion(model="read", **CALL):
        pass


async def leave(llm: Any, model: str) -> None:
    """Leave a stream, and wait until that is told."""
    found = [watches()]
    with Reports.listen() as reports:
        stream = await llm.acompletion(model=model, **CALL)
        left = time.monotonic()
        found.append(watches())
        await reports.leak(model)
        after = time.monotonic() - left
        leaks = [leak.model for leak in reports.leaks()]
    del stream
    told = {"of": model, "leaks": leaks, "watches": found, "after": after}
    os.write(1, f"{json.dumps(told)}\n".encode())


GlueLLMInstrumentor().instrument(leak_threshold=2)
asyncio.run(read(create()))
process = os.fork()
if process == 0:
    asyncio.run(leave(create(), "child"))
    os._exit(0)
asyncio.run(leave(create(), "parent"))
assert os.waitpid(process, 0)[1] == 0
