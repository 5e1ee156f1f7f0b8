"""Calls a provider again and again through any-llm, and reports how that went.

Arguments: the provider's URL, and ``grpc`` or ``http/protobuf`` for telemetry. The SDK's own
environment variables say where to export to. Each line on standard input is answered with a line of
JSON, the figures so far; ``flush`` when no call is in flight any more and all was exported. The end
of standard input ends the program.
"""

import asyncio
import importlib
import json
import sys
import threading
from collections import Counter
from typing import Any

import httpx2
from any_llm import AnyLLM

WORKERS = 4
CONNECTIONS = 3
"""Fewer than workers, so that some wait, and spans of that are exported."""


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
    telemetry = Telemetry(protocol)
    load = Load(url)
    loop = asyncio.get_running_loop()
    # What reaches no caller counts as well: a callback of the loop, a thread, a finalizer.
    loop.set_exception_handler(lambda _, context: load.errors.append(repr(context)))
    threading.excepthook = lambda found: load.errors.append(repr(found))
    sys.unraisablehook = lambda found: load.errors.append(repr(found))
    workers = [asyncio.create_task(load.work(number)) for number in range(WORKERS)]
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while command := (await commands.readline()).decode().strip():
        if command == "flush":
            load.quiet = True
            await asyncio.gather(*workers)
            await asyncio.to_thread(telemetry.flush)
        figures = {
            "event": "figures",
            "answered": load.answered,
            "errors": load.errors,
            **telemetry.figures,
        }
        print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
