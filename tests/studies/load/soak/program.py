"""The program, with the arguments PLACES SECONDS SEED; a line of input stops it.

It says in lines of JSON that it is alive, and in the last one what it counted.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import gc
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import anyio

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

from . import ending
from .async_worker import AsyncWorker
from .blame import Listening
from .disturbances import Disturbances, instrument
from .exporting import Sdk
from .grpc_clients import GrpcLibrary
from .httpx_clients import HttpxLibrary
from .llm_clients import AnyLLMLibrary
from .measuring import Sampler
from .other_clients import AiohttpLibrary, Urllib3Library
from .places import STACKS_SIGNAL, Places
from .setting import Setting, deal
from .sync_worker import SyncWorker

_PAUSE = 0.25
_LOOP_LASTS = (8.0, 25.0)
_HEARTBEAT = 0.5
_SAMPLES = 60
_LOOK_EVERY_AT_LEAST = 0.75


class Loop:
    """A thread with one event loop after the other, and workers that move on with it."""

    def __init__(
        self,
        setting: Setting,
        listening: Listening,
        name: str,
        libraries: list[Any],
        **backend: Any,
    ) -> None:
        self._setting = setting
        self._listening = listening
        self._rng = setting.source(name)
        self._backend = backend
        self.workers = [
            AsyncWorker(setting, library, f"{name}: {library.name} {number}")
            for number, library in enumerate(libraries)
        ]
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        while not self._setting.over.is_set():
            anyio.run(self._work, **self._backend)

    async def _work(self) -> None:
        if self._backend["backend"] == "asyncio":
            asyncio.get_running_loop().set_exception_handler(self._listening.of_loop)
        until = time.monotonic() + self._rng.uniform(*_LOOP_LASTS)
        async with anyio.create_task_group() as group:
            for worker in self.workers:
                group.start_soon(worker.work, until)


def crew(setting: Setting, listening: Listening) -> list[threading.Thread]:
    """All threads with workers in them."""
    httpx = HttpxLibrary("httpx", asynchronous=True)
    httpx2 = HttpxLibrary("httpx2", asynchronous=True)
    openai = AnyLLMLibrary("openai", asynchronous=True)
    anthropic = AnyLLMLibrary("anthropic", asynchronous=True)
    grpc = GrpcLibrary(asynchronous=True)
    aiohttp = AiohttpLibrary()
    first: list[Any] = [httpx, httpx2, aiohttp, openai, anthropic, grpc]
    sync: list[Any] = [
        HttpxLibrary("httpx", asynchronous=False),
        HttpxLibrary("httpx2", asynchronous=False),
        Urllib3Library(),
        GrpcLibrary(asynchronous=False),
        AnyLLMLibrary("openai", asynchronous=False),
    ]
    listening.expected = tuple(kind for library in first + sync for kind in library.expected)
    loops = [
        Loop(setting, listening, "asyncio", first, backend="asyncio"),
        Loop(
            setting,
            listening,
            "uvloop",
            [httpx2, aiohttp, openai],
            backend="asyncio",
            backend_options={"use_uvloop": True},
        ),
        Loop(setting, listening, "trio", [httpx, httpx2], backend="trio"),
    ]
    workers = [SyncWorker(setting, library, f"thread: {library.name}") for library in sync]
    deal([worker.deck for loop in loops for worker in loop.workers] + [w.deck for w in workers])
    threads = [threading.Thread(target=w.work, name=w.name, daemon=True) for w in workers]
    return [loop.thread for loop in loops] + threads


def _say(**more: Any) -> None:
    sys.stdout.write(json.dumps({"event": "alive", **more}) + "\n")
    sys.stdout.flush()


def _heartbeat(setting: Setting, ended: threading.Event) -> None:
    while not ended.wait(_HEARTBEAT):
        _say(**setting.progress.slowest())


def _stop_when_told(setting: Setting) -> None:
    for _ in sys.stdin:
        setting.over.set()


def _in_background(name: str, target: Callable[..., None], *arguments: Any) -> None:
    threading.Thread(target=target, args=arguments, name=name, daemon=True).start()


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(prog="studies.load.soak.program")
    parser.add_argument("places", type=Places.from_json)
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("--without", action="store_true")
    options = parser.parse_args()
    faulthandler.enable()
    faulthandler.register(STACKS_SIGNAL, all_threads=True)
    random.seed(options.seed)
    setting = Setting(options.places, options.seed, _PAUSE, instrumented=not options.without)
    sdk = Sdk(options.places.collector)
    if not options.without:
        instrument(sdk)
    finished = threading.Event()
    _in_background("heartbeat", _heartbeat, setting, finished)
    _in_background("orders", _stop_when_told, setting)
    tally = setting.tally
    listening = Listening(tally)
    listening.everywhere()
    threads = crew(setting, listening)
    sampler = Sampler(
        max(_LOOK_EVERY_AT_LEAST, options.seconds / _SAMPLES),
        lambda: sum(tally.requests.values()),
        sdk.reader.get_metrics_data,
        setting.over,
    )
    start = sampler.look()
    began = time.monotonic()
    disturbances = Disturbances(setting, sdk)
    disturbances.begin()
    sampler.begin()
    for thread in threads:
        thread.start()
    # Signals are for this thread.
    while not setting.over.is_set() and time.monotonic() - began < options.seconds:
        disturbances.in_main_thread()
        time.sleep(0.1)
    minutes = (time.monotonic() - began) / 60
    setting.over.set()
    for thread in threads:
        thread.join()
    disturbances.end()
    sampler.end()
    # Exporters send over pools too, which would be there for as long as they are.
    sdk.end_exports()
    found = ending.after(setting, sdk, sampler, minutes)
    GlueLLMInstrumentor().uninstrument()
    found += ending.after_uninstrumenting()
    values = ending.figures(setting, sdk, sampler, start, minutes)
    finished.set()
    sdk.shutdown()
    gc.collect()
    _say(figures=values, broken=found)


if __name__ == "__main__":
    main()
