"""Asks for streams and never reads them; ends once the instrumentation has said so.

Arguments: the provider's URL, and what to do then: ``hang`` with a call that waits for
one of the connections, or ``die`` of SIGKILL once the doctor has seen it.
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
told = threading.Event()
kept = []


class Listener(logging.Handler):
    """Waits for the warning of a leak."""

    def emit(self, record: logging.LogRecord) -> None:
        if "leak" in record.getMessage():
            told.set()


async def abandon(llm: AnyLLM) -> None:
    kept.append(await llm.acompletion(model="some-model", messages=MESSAGES, stream=True))


def die_once_it_is_seen() -> None:
    report = Path(os.environ["GLUELLM_POOLS_DOCTOR_DIRECTORY"], f"{os.getpid()}.json")
    while '"leak"' not in report.read_text():
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)


async def main(url: str, then: str) -> None:
    client = library.AsyncClient(limits=library.Limits(max_connections=CONNECTIONS))
    kept.append(client)
    llm = AnyLLM.create("openai", api_key="any", api_base=url, http_client=client)
    for _ in range(CONNECTIONS):
        await abandon(llm)
    hung = llm.acompletion(model="some-model", messages=MESSAGES) if then == "hang" else None
    waiting = asyncio.ensure_future(hung) if hung is not None else None
    await asyncio.to_thread(told.wait)
    print("leaked", flush=True)
    if waiting is not None:
        await waiting
    if then == "die":
        await asyncio.to_thread(die_once_it_is_seen)


logging.basicConfig()
logging.getLogger("opentelemetry.instrumentation.gluellm").addHandler(Listener())
asyncio.run(main(*sys.argv[1:]))
