"""Calls a provider again and again through any-llm, and reports how that went.

Arguments: the provider's URL, and ``grpc``, ``http/protobuf`` or ``none`` for telemetry. The SDK's
own environment variables say where to export to. Each line on standard input is answered with a
line of JSON, the figures so far. ``begin`` starts those of lateness anew; ``quiet`` is answered
when no call is in flight, and none is begun any more; ``flush`` when all was exported as well. The
end of standard input ends the program.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import httpx2
import psutil
from any_llm import AnyLLM

WORKERS = 4
CONNECTIONS = 3
"""Fewer than workers, so that some wait, and spans of that are exported."""
PERIOD = 0.002
"""Seconds from one tick to the next."""


class Lateness:
    """How late a timer of an event loop is at most, and whose fault that is.

    A timer is late because its own thread computed, because another thread of the process held the
    interpreter or a lock, or because the machine had no processor for them. The first two are the
    program's; the last is known from the scheduler's own figures, where the kernel has them
    (Linux, ``/proc/self/task/*/schedstat``). Elsewhere all of it counts as the program's.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._files: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self.reset()
        self._no_processor()
        self._arm()

    def reset(self) -> None:
        """Forget what was.

        ``late``: seconds of the worst tick. ``stalled``: the same, less the time for which the
        machine kept this process' threads waiting for a processor. ``waited``: of that, the part in
        which the loop's own thread did not compute, so that another thread made it wait.
        """
        self.worst = {"late": 0.0, "stalled": 0.0, "waited": 0.0}

    def _arm(self) -> None:
        self._computed = time.thread_time()
        self._due = self._loop.time() + PERIOD
        self._loop.call_at(self._due, self._tick)

    def _tick(self) -> None:
        late = self._loop.time() - self._due
        stalled = max(late - self._no_processor(), 0.0)
        waited = stalled - (time.thread_time() - self._computed)
        for name, seconds in (("late", late), ("stalled", stalled), ("waited", waited)):
            self.worst[name] = max(self.worst[name], seconds)
        self._arm()

    def _no_processor(self) -> float:
        """Seconds that Python's threads were ready and had no processor, since the last call."""
        total = 0
        for number in [thread.native_id or 0 for thread in threading.enumerate()]:
            with suppress(OSError, IndexError):  # it has just ended, or this kernel has no figures
                if number not in self._files:
                    path = f"/proc/self/task/{number}/schedstat"
                    self._files[number] = os.open(path, os.O_RDONLY)
                delay = int(os.pread(self._files[number], 100, 0).split()[1])
                total += delay - self._before.get(number, delay)
                self._before[number] = delay
        return total / 1e9


class Telemetry:
    """The SDK with OTLP exporters whose results are counted, and the instrumentation."""

    def __init__(self, protocol: str) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

        package = f"opentelemetry.exporter.otlp.proto.{protocol.removesuffix('/protobuf')}"
        metrics = importlib.import_module(f"{package}.metric_exporter").OTLPMetricExporter()
        spans = importlib.import_module(f"{package}.trace_exporter").OTLPSpanExporter()
        self.figures = Counter(exports=0, failed_exports=0, good_exports=0)
        """Of metrics."""
        export = metrics.export

        def counting(*arguments: Any, **more: Any) -> Any:
            self.figures["exports"] += 1
            result = None
            try:
                result = export(*arguments, **more)
                return result
            finally:
                good = result is not None and result.name == "SUCCESS"
                self.figures["good_exports" if good else "failed_exports"] += 1

        metrics.export = counting
        self.meter_provider = MeterProvider([PeriodicExportingMetricReader(metrics)])
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(BatchSpanProcessor(spans))
        GlueLLMInstrumentor().instrument(
            meter_provider=self.meter_provider,
            tracer_provider=self.tracer_provider,
            span_min_duration=0.01,
        )

    def flush(self) -> None:
        """Export all there is."""
        self.meter_provider.force_flush()
        self.tracer_provider.force_flush()


class Load:
    """Workers that call without a pause."""

    def __init__(self, url: str) -> None:
        client = httpx2.AsyncClient(limits=httpx2.Limits(max_connections=CONNECTIONS))
        self._llm = AnyLLM.create("openai", api_key="any", api_base=url, http_client=client)
        self.answered = 0
        self.errors: list[str] = []
        self.quiet = False

    async def work(self, number: int) -> None:
        """Call until it is to be quiet."""
        while not self.quiet:
            await self.call(number)

    async def call(self, number: int) -> None:
        """Call once: streamed for every other number."""
        stream = number % 2 == 0
        messages: list[Any] = [{"role": "user", "content": "hello"}]
        try:
            answer: Any = await self._llm.acompletion(
                model="some-model", messages=messages, stream=stream
            )
            if stream:
                async for _ in answer:
                    pass
            self.answered += 1
        except Exception as error:
            self.errors.append(repr(error))


async def main(url: str, protocol: str) -> None:
    telemetry = Telemetry(protocol) if protocol != "none" else None
    load = Load(url)
    loop = asyncio.get_running_loop()
    # What reaches no caller counts as well: a callback of the loop, a thread, a finalizer.
    loop.set_exception_handler(lambda _, context: load.errors.append(repr(context)))
    threading.excepthook = lambda found: load.errors.append(repr(found))
    sys.unraisablehook = lambda found: load.errors.append(repr(found))
    # The first calls import a lot, which is no stall.
    await load.call(0)
    await load.call(1)
    workers = [asyncio.create_task(load.work(number)) for number in range(WORKERS)]
    lateness = Lateness(loop)
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).decode().strip():
        if command == "begin":
            lateness.reset()
        elif command != "figures":
            load.quiet = True
            await asyncio.gather(*workers)
        if command == "flush" and telemetry is not None:
            await asyncio.to_thread(telemetry.flush)
        figures = {
            "event": "figures",
            "answered": load.answered,
            "errors": load.errors,
            "resident": psutil.Process().memory_info().rss,
            "blocks": sys.getallocatedblocks(),
            **lateness.worst,
            **(telemetry.figures if telemetry is not None else {}),
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
