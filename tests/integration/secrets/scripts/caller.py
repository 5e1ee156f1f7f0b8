"""Calls a provider in several ways that fail, leaks a stream, and waits for a line to go on.

Its argument is a secret, its environment is full of them, and its own path may hold anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from typing import Any

from any_llm import AnyLLM
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor

leaked = threading.Event()
QUESTION: Any = [{"role": "user", "content": os.environ["SECRET_PROMPT"]}]
MODEL = os.environ["HOSTILE_MODEL"].encode().decode("unicode_escape")


class Listener(logging.Handler):
    """Waits for the warning of a leak."""

    def emit(self, record: logging.LogRecord) -> None:
        if "leak" in record.getMessage():
            leaked.set()


async def call_gluellm() -> None:
    """Once, with a correlation id, where GlueLLM is installed."""
    try:
        import gluellm
        from gluellm.runtime.context import set_correlation_id
    except ImportError:
        return
    set_correlation_id(os.environ["SECRET_CORRELATION_ID"])
    with contextlib.suppress(Exception):
        await asyncio.wait_for(gluellm.complete(QUESTION[0]["content"], model=f"openai:{MODEL}"), 3)


async def main() -> None:
    """An answer, an error, an answer that doesn't come, and a stream that nobody reads."""
    llm = AnyLLM.create("openai")
    for _ in range(3):
        with contextlib.suppress(Exception):
            await asyncio.wait_for(llm.acompletion(model=MODEL, messages=QUESTION), 1.0)
    stream = await llm.acompletion(model=MODEL, messages=QUESTION, stream=True)
    await call_gluellm()
    await asyncio.to_thread(leaked.wait, 20)
    print("leaked", os.getpid(), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    del stream


logging.basicConfig()
logger = logging.getLogger("opentelemetry.instrumentation.gluellm")
logger.setLevel(logging.DEBUG)
logger.addHandler(Listener())
meters = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter(timeout=2), 60_000)])
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(timeout=2)))
records = LoggerProvider()
records.add_log_record_processor(SimpleLogRecordProcessor(OTLPLogExporter(timeout=2)))
logger.addHandler(LoggingHandler(logger_provider=records))
GlueLLMInstrumentor().instrument(
    meter_provider=meters, tracer_provider=tracers, span_min_duration=0, leak_stacks=True
)
with tracers.get_tracer("caller").start_as_current_span("call"):
    asyncio.run(main())
meters.shutdown()
