"""Calls a provider again and again through any-llm, and tells how that went.

Arguments: the provider's URL, and ``grpc``, ``http/protobuf`` or ``none`` for telemetry. The SDK's
own environment variables say where to export to. Each line on standard input is answered with a
line of JSON, the figures so far. ``begin`` starts those of lateness anew; ``quiet`` is answered
when no call is under way, and none is begun any more; ``flush`` when all was exported as well;
``rounds 20`` after as many rounds of calls with an export each. The end of standard input ends the
program.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

import httpx2
from any_llm import AnyLLM

from studies.faults.lateness import Lateness

WORKERS = 4
CONNECTIONS = 3
"""Fewer than workers, so that some wait, and spans of that are exported."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Exports:
    """How often telemetry was exported, and how often in vain."""

    def __init__(self) -> None:
        self.tried = 0
        self.failed = 0

    def counted(self, exporter: Any) -> Any:
        """The exporter, with its results counted."""
        export = exporter.export

        def counting(*arguments: Any, **more: Any) -> Any:
            self.tried += 1
            result = None
            try:
                result = export(*arguments, **more)
                return result
            finally:
                self.failed += result is None or result.name != "SUCCESS"

        exporter.export = counting
        return exporter


class Telemetry:
    """The SDK with OTLP exporters, and the instrumentation."""

    def __init__(self, protocol: str) -> None:
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

        package = f"opentelemetry.exporter.otlp.proto.{protocol.removesuffix('/protobuf')}"
        metrics = importlib.import_module(f"{package}.metric_exporter").OTLPMetricExporter()
        spans = importlib.import_module(f"{package}.trace_exporter").OTLPSpanExporter()
        self.metrics, self.spans = Exports(), Exports()
        reader = PeriodicExportingMetricReader(self.metrics.counted(metrics))
        self.meter_provider = MeterProvider([reader])
        self.tracer_provider = TracerProvider()
        self.tracer_provider.add_span_processor(BatchSpanProcessor(self.spans.counted(spans)))
        self.tracer = self.tracer_provider.get_tracer("calling")
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
        try:
            await self._call(stream=number % 2 == 0)
            self.answered += 1
        except Exception as error:
            self.errors.append(repr(error))

    async def _call(self, stream: bool) -> None:
        answer = await self._llm.acompletion(
            model="some-model", messages=[{"role": "user", "content": "hello"}], stream=stream
        )
        if stream:
            async for _ in answer:
                pass


async def main(url: str, protocol: str) -> None:
    telemetry = Telemetry(protocol) if protocol != "none" else None
    load = Load(url)
    loop = asyncio.get_running_loop()
    # What reaches no caller counts as well: a callback of the loop, a thread, a finalizer.
    loop.set_exception_handler(lambda _, context: load.errors.append(repr(context)))
    threading.excepthook = lambda found: load.errors.append(repr(found))
    sys.unraisablehook = lambda found: load.errors.append(repr(found))
    # The first calls import a lot, which is nobody's stall.
    await load.call(0)
    await load.call(1)
    workers = [asyncio.create_task(load.work(number)) for number in range(WORKERS)]
    lateness = Lateness(loop)
    lateness.start()
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
        if command.startswith("rounds"):
            for _ in range(int(command.removeprefix("rounds"))):
                await asyncio.gather(*(load.call(number) for number in range(WORKERS)))
                if telemetry is not None:
                    await asyncio.to_thread(telemetry.flush)
            gc.collect()
        print(json.dumps(figures(load, lateness, telemetry)), flush=True)


def figures(load: Load, lateness: Lateness, telemetry: Telemetry | None) -> dict[str, Any]:
    """All there is to tell now."""
    found: dict[str, Any] = {
        "event": "figures",
        "answered": load.answered,
        "errors": load.errors,
        "resident": _resident(),
        "blocks": sys.getallocatedblocks(),
        **lateness.worst(),
    }
    if telemetry is not None:
        found |= {
            "exports": telemetry.metrics.tried,
            "failed_exports": telemetry.metrics.failed,
            "good_exports": telemetry.metrics.tried - telemetry.metrics.failed,
        }
    return found


def _resident() -> int:
    """Bytes of memory that the process has, 0 where the system doesn't tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
