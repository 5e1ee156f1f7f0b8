"""The Collector's own exporter sends to the watch: another implementation, and OTLP/JSON."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from support.watching import Exporting, Watch

from ..programs import Stack


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch in a process of its own."""
    started = Watch()
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()


@pytest.mark.parametrize(
    ("encoding", "compression"), [("json", "none"), ("json", "gzip"), ("proto", "gzip")]
)
def test_what_the_collector_sends_on_is_shown(
    stack: Stack, watch: Watch, encoding: str, compression: str
) -> None:
    """SDK -> Collector -> watch: counters and waits as the program counted; spans accepted."""
    collector = stack.collector
    collector.overlays.append(Path(__file__).parent / "to-watch.yaml")
    collector.variables = {
        "WATCH_ENDPOINT": watch.url,
        "WATCH_ENCODING": encoding,
        "WATCH_COMPRESSION": compression,
    }
    stack.start("collector")
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(
        SimpleSpanProcessor(OTLPSpanExporter(f"{collector.http_endpoint}/v1/traces"))
    )
    tracers.get_tracer("any").start_span("call").end()
    program = Exporting(collector.http_endpoint)
    program.play(7)
    program.export()
    program.provider.shutdown()
    watch.wait_for(r"^shop \(one\), heard")
    line = watch.wait_for(r"openai/httpx2: .*p50 (\S+) s .*connections: (\d+) opened")
    assert line[2] == "7"
    assert 0.05 < float(line[1]) <= 0.2
    watch.end()
    assert "received, and not shown: 1 span" in watch.lines
    assert not watch.found("refused|failed")
    assert "Exporting failed" not in collector.log.read_text()
