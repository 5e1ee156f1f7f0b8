"""The watch receives exports of the Collector, whose OTLP exporter is not the SDK's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from support.quotations import assert_quoted_and_said
from support.waiting import wait_until
from support.watching import Exporting, Watch

from ..programs import Stack


@pytest.fixture
def watch() -> Iterator[Watch]:
    """A watch in its own process."""
    with Watch() as started:
        yield started


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_exports_of_the_collector_are_shown(stack: Stack, watch: Watch, compression: str) -> None:
    """The watch shows the program's counters and waits, and accepts spans."""
    collector = stack.collector
    collector.overlays.append(Path(__file__).parent / "to-watch.yaml")
    collector.variables = {"WATCH_ENDPOINT": watch.url, "WATCH_COMPRESSION": compression}
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
    watch.wait_for(r"^shop \(one\): exported")
    line = watch.wait_for(r"openai/httpx2: .*mean (\S+) s, .* (\d+) connections? opened")
    assert line[2] == "7"
    assert float(line[1]) == 0.2
    watch.end()
    assert not watch.found("refused|failed: ")
    assert "Exporting failed" not in collector.log.read_text()


def test_a_doubled_path_in_the_endpoint_is_logged_by_both_sides(stack: Stack, watch: Watch) -> None:
    """The Collector logs the line that docs/deploy.md quotes, and the watch logs the fix."""
    collector = stack.collector
    collector.overlays.append(Path(__file__).parent / "doubled.yaml")
    collector.variables = {"WATCH_ENDPOINT": watch.url}
    stack.start("collector")
    program = Exporting(collector.http_endpoint)
    program.play(1)
    program.export()
    program.provider.shutdown()
    watch.wait_for("404, .* out of OTEL_EXPORTER_OTLP_ENDPOINT")
    wait_until(lambda: "Exporting failed" in collector.log.read_text(), "the Collector's line")
    lines = collector.log.read_text().splitlines()
    assert_quoted_and_said("Exporting failed. Dropping data.", lines)
    assert_quoted_and_said(
        "request to …/v1/metrics/v1/metrics responded with HTTP Status Code 404", lines
    )
