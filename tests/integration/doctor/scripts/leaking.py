"""Request streams without reading them, and get killed once the report for the doctor has the leak.

Argument: the provider's URL.
"""

import asyncio
import importlib
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

from any_llm import AnyLLM
from openai import DefaultAsyncHttpxClient

library = importlib.import_module(
    next(
        base.__module__.partition(".")[0]
        for base in DefaultAsyncHttpxClient.__mro__
        if base.__module__.startswith("httpx")
    )
)
MESSAGES = [{"role": "user", "content": "hello"}]
CONNECTIONS = 2
warned = threading.Event()
kept = []


class Listener(logging.Handler):
    """Set an event when a leak is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        if "leak" in record.getMessage():
            warned.set()


async def abandon(llm: AnyLLM) -> None:
    kept.append(await llm.acompletion(model="some-model", messages=MESSAGES, stream=True))


def die_once_it_is_seen() -> None:
    report = Path(os.environ["GLUELLM_POOLS_DOCTOR_DIRECTORY"], f"{os.getpid()}.json")
    while '"leak"' not in report.read_text():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str) -> None:
    client = library.AsyncClient(limits=library.Limits(max_connections=CONNECTIONS))
    kept.append(client)
    llm = AnyLLM.create("openai", api_key="any", api_base=url, http_client=client)
    for _ in range(CONNECTIONS):
        await abandon(llm)
    await asyncio.to_thread(warned.wait)
    print("leaked", flush=True)
    await asyncio.to_thread(die_once_it_is_seen)


logging.basicConfig()
logging.getLogger("opentelemetry.instrumentation.gluellm").addHandler(Listener())
asyncio.run(main(sys.argv[1]))
