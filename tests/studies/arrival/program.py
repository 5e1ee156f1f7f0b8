"""A real any-llm program. Its exporters come from the environment, its targets from a file.

Argument: a folder with ``targets.json``, where it records what it exports. It reports its progress
on standard output, one line of JSON each, and continues after a line on standard input.
"""

import asyncio
import json
import os
import ssl
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import start_http_server

from opentelemetry.instrumentation.gluellm import GlueLLMInstrumentor, snapshot
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.waiting import until

from . import acts
from .acts import Client, Counted

_FLUSH = 20_000
"""Milliseconds."""


def _recorded(kind: str, folder: Path, form: Callable[[Any], dict[str, Any]]) -> Any:
    """The exporter that the environment names; it records each export and its result."""
    protocol = os.environ["OTEL_EXPORTER_OTLP_PROTOCOL"].removesuffix("/protobuf")
    module = import_module(f"opentelemetry.exporter.otlp.proto.{protocol}.{kind.lower()}_exporter")
    exporter = getattr(module, f"OTLP{kind.replace('Trace', 'Span')}Exporter")()
    export = exporter.export

    def recording(data: Any, *arguments: Any, **more: Any) -> Any:
        result = export(data, *arguments, **more)
        with (folder / f"{kind}.jsonl").open("a") as lines:
            lines.write(json.dumps({"result": result.name, **form(data)}) + "\n")
        return result

    exporter.export = recording
    return exporter


def _whole(span: ReadableSpan) -> dict[str, Any]:
    context, scope = span.get_span_context(), span.instrumentation_scope
    assert context is not None
    assert scope is not None
    links = [link.context for link in span.links]
    return {
        "name": span.name,
        "kind": span.kind.name,
        "trace": f"{context.trace_id:032x}",
        "span": f"{context.span_id:016x}",
        "parent": f"{span.parent.span_id:016x}" if span.parent is not None else "",
        "start": span.start_time,
        "end": span.end_time,
        "attributes": dict(span.attributes or {}),
        "links": [[f"{link.trace_id:032x}", f"{link.span_id:016x}"] for link in links],
        "status": span.status.status_code.name,
        "scope": [scope.name, scope.version],
    }


class _Spiteful(SpanProcessor):
    """A host's own span processor that fails for one span: the package counts it as its error."""

    def __init__(self, span_name: str) -> None:
        self._span_name = span_name

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if span.name == self._span_name:
            raise RuntimeError("a span processor of the program's own is broken")


class Program:
    """Makes the calls, and pauses where its stores are compared."""

    def __init__(self, folder: Path) -> None:
        self._targets = SimpleNamespace(**json.loads((folder / "targets.json").read_text()))
        self._in_memory = InMemoryMetricReader()
        metrics = _recorded("Metric", folder, lambda data: {"metrics": json.loads(data.to_json())})
        # Exports only when the script asks for it, so that it is known which export a store shows.
        self._periodic = PeriodicExportingMetricReader(metrics, float("inf"))
        readers = [self._periodic, self._in_memory, PrometheusMetricReader()]
        self._meters = MeterProvider(readers, shutdown_on_exit=False)
        self._tracers = TracerProvider(shutdown_on_exit=False)
        spans = _recorded("Trace", folder, lambda batch: {"spans": list(map(_whole, batch))})
        self._tracers.add_span_processor(BatchSpanProcessor(spans))
        broken = urlsplit(self._targets.spiteful)
        name = semconv.SPAN_SETUP.format(address=broken.hostname, port=broken.port)
        self._tracers.add_span_processor(_Spiteful(name))
        GlueLLMInstrumentor().instrument(
            meter_provider=self._meters,
            tracer_provider=self._tracers,
            metrics="full",
            time_in_queue=True,
            model_attributes=True,
            leak_threshold=2,
            peer_check_after=1,
        )
        self._counted = Counted()
        self._tracer = self._tracers.get_tracer("program")

    def client(self, url: str, **settings: Any) -> Client:
        """A client whose outcomes this program counts."""
        return Client(url, self._counted, self._tracer, **settings)

    async def run(self) -> None:
        """Run all acts, hold requests in every phase, release them, and end."""
        server, _ = start_http_server(0, "127.0.0.1")
        self.report("began", scrape_port=server.server_port)
        client, targets = self.client, self._targets
        authority = ssl.create_default_context(cafile=targets.authority)
        plain = client(targets.plain)
        tight = client(targets.tight, name="tight", connections=1)
        odd = [client(targets.odd, name="odd", connections=1) for _ in range(3)]
        crowded = client(targets.anthropic, sdk="anthropic", connections=1)
        http2 = client(targets.http2, name="http2", http1=False, http2=True)
        left = client(targets.http2, name="left", http1=False, http2=True)
        secure = client(targets.tls, name="tls", verify=authority)
        deaf = client(targets.deaf, name="deaf")
        retrying = client(targets.plain, retries=1)
        clients = [plain, tight, *odd, crowded, http2, left, secure, deaf, retrying]

        await asyncio.gather(
            acts.served(plain),
            acts.queued(tight),
            acts.crowded(crowded),
            acts.crowded(http2),
            acts.not_connected(client, targets),
            secure.ask("quick"),
        )
        await crowded.read("quick")
        await acts.failed_late(plain)
        await retrying.ask("once")
        # Before connections are left to the garbage collector: asyncio would confuse a later
        # descriptor with one of theirs that had the same number, and nothing would wake gRPC's
        # calls.
        xai = await acts.called_over_grpc(targets.xai, self._tracer)
        await acts.churned(targets.plain, self._tracer)
        held = acts.Held()
        await held.hold(plain, tight, deaf, http2, left)
        await held.spoil(*odd)
        await until(lambda: sum(pool.leaks for pool in snapshot().totals) >= len(held.streams))
        # A second event loop causes the excluded type, not a fault of a library.
        await until(lambda: _anomalies() == set(semconv.ANOMALY_TYPES) - {"wrong_event_loop"})
        # Last, because the watch reports no anomaly for a while after it.
        await acts.blocked(plain)
        await until(lambda: (snapshot().process.event_loop_lag or 0) > acts.BLOCKED / 2)
        await asyncio.to_thread(self._export)
        await self._pause("held")
        await held.release()
        await self._pause("quiet")
        for each in clients:
            await each.http.aclose()
        await xai.client.close()  # type: ignore[attr-defined]
        await asyncio.to_thread(self._export)
        self.report("counted", ended=self._counted.ended, streams=self._counted.streams)
        await asyncio.to_thread(self._meters.shutdown, _FLUSH)
        await asyncio.to_thread(self._tracers.shutdown)

    def _export(self) -> None:
        self._periodic.force_flush(_FLUSH)
        self._tracers.force_flush(_FLUSH)

    async def _pause(self, where: str) -> None:
        """Pause: answer ``read`` with the current metrics, and return at ``go``."""
        self.report(where)
        while (line := (await asyncio.to_thread(sys.stdin.readline)).strip()) == "read":
            data: Any = await asyncio.to_thread(self._in_memory.get_metrics_data)
            self.report("metrics", metrics=json.loads(data.to_json()))
        if line != "go":
            sys.exit("the process that started the program is gone")

    @staticmethod
    def report(event: str, **more: Any) -> None:
        """Report to the process that started the program."""
        print(json.dumps({"event": event, **more}), flush=True)


def _anomalies() -> set[str]:
    return {kind for pool in snapshot().totals for kind, n in pool.anomalies.items() if n}


if __name__ == "__main__":
    asyncio.run(Program(Path(sys.argv[1])).run())
