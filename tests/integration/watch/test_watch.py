"""``gluellm-pools watch`` as a program of its own, with real exporters and the real demo."""

import gzip
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, ObservableCounter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import metrics_request, number
from support.watching import COMMAND, Exporting, Watch, environment

FLOOD_MEGABYTES = 250
"""What the watch may have used at most at the end of a flood of everything at once."""


@pytest.fixture
def watch() -> Iterator[Watch]:
    started = Watch()
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.wait()


@pytest.mark.parametrize(
    "compression", [Compression.NoCompression, Compression.Gzip, Compression.Deflate]
)
def test_the_sdks_exporter_is_understood(watch, compression, caplog):
    """What was counted is shown, and the exporter has nothing to complain of."""
    program = Exporting(watch.url, compression=compression)
    program.play(7)
    with caplog.at_level(logging.DEBUG, "opentelemetry"):
        program.export()
        program.provider.shutdown()
    watch.wait_for(r"^shop \(one\), heard \d s ago; counted since its start$")
    line = watch.wait_for(r"openai/httpx2: .*connections: (\d+) opened")
    assert line[1] == "7"
    assert "p50 0.15 s" in line[0] or "p50 0.1" in line[0]
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_delta_is_added_up(watch):
    """With the SDK's own delta: counters since the first export."""
    delta = dict.fromkeys((Counter, Histogram, ObservableCounter), AggregationTemporality.DELTA)
    program = Exporting(watch.url, preferred_temporality=delta)
    for requests in (3, 4):
        program.play(requests)
        program.export()
    assert watch.wait_for(r"connections: (\d+) opened")
    program.play(5)
    program.export()
    program.provider.shutdown()
    status, _ = watch.end()
    assert status == 130
    told = re.findall(r"connections: (\d+) opened", "\n".join(watch.lines))
    assert told[-1] == "9"  # since the first export, which had 3


def test_exponential_histograms_are_shown_without_waits(watch):
    """Their buckets are others; counts of them are still right."""
    program = Exporting(
        watch.url, preferred_aggregation={Histogram: ExponentialBucketHistogramAggregation()}
    )
    program.play(4)
    program.export()
    program.provider.shutdown()
    assert watch.wait_for(r"openai/httpx2: .*wait \(estimated\) p50 - p95 - p99 -")


def test_several_processes_are_shown_apart(watch):
    """Four workers of one service, each under its own name."""
    programs = [Exporting(watch.url, f"worker-{n}") for n in range(4)]
    for number_of_requests, program in enumerate(programs, 1):
        program.play(number_of_requests)
        program.export()
        program.provider.shutdown()
    for n in range(4):
        watch.wait_for(rf"^shop \(worker-{n}\)")
    watch.end()
    text = "\n".join(watch.lines)
    for n in range(4):
        counted = f"connections: {n + 1} opened"
        assert re.search(rf"shop \(worker-{n}\).*\n  openai/httpx2.*{counted}", text)


def test_spans_and_logs_are_accepted_and_our_warnings_shown(watch, caplog):
    """A program that exports everything here logs no errors for it."""
    resource = Resource({"service.name": "shop"})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{watch.url}/v1/traces")))
    loggers = LoggerProvider(resource, shutdown_on_exit=False)
    loggers.add_log_record_processor(
        SimpleLogRecordProcessor(OTLPLogExporter(f"{watch.url}/v1/logs"))
    )
    logger = logging.getLogger(semconv.SCOPE_NAME)
    handler = LoggingHandler(logger_provider=loggers)
    logger.addHandler(handler)
    try:
        tracers.get_tracer("any").start_span("call").end()
        logger.warning("Connection leak suspected in pool %s.\x1b[2J", "openai/httpx2")
    finally:
        logger.removeHandler(handler)
    watch.wait_for(r"^logged: WARNING from shop: Connection leak suspected in pool openai/httpx2")
    watch.end()
    assert "received, and not shown: 1 span" in watch.lines
    assert "\x1b" not in "".join(watch.lines)
    complaints = [r for r in caplog.records if r.name.startswith("opentelemetry.exporter")]
    assert not complaints


def test_metrics_of_others_alone_are_explained(watch):
    """Which scopes came, and what is missing."""
    exporter = OTLPMetricExporter(f"{watch.url}/v1/metrics")
    reader = PeriodicExportingMetricReader(exporter, float("inf"))
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("somebody.else").create_counter("things").add(1)
    provider.force_flush()
    provider.shutdown()
    line = watch.wait_for("its metrics come")
    assert "(scopes: somebody.else" in line.string
    assert "instrument() called in it" in line.string


def test_a_grpc_exporter_is_told_what_to_set(watch):
    """The default protocol of opentelemetry-instrument, pointed at the HTTP port."""
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
        OTLPMetricExporter as GrpcExporter,
    )

    exporter = GrpcExporter(watch.url, insecure=True, timeout=2)
    reader = PeriodicExportingMetricReader(exporter, float("inf"))
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("any").create_counter("things").add(1)
    provider.force_flush(3000)
    watch.wait_for("something spoke gRPC here; set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")
    provider.shutdown(2000)


@pytest.mark.slow
def test_the_demo_is_watched_from_another_process(watch):
    """Real any-llm calls under instrument(), exported by the demo, shown by the watch."""
    demo = subprocess.run(
        [*COMMAND, "demo", "--seconds", "8", "--scenario", "saturated"],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment(
            OTEL_EXPORTER_OTLP_ENDPOINT=watch.url,
            OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
            OTEL_METRIC_EXPORT_INTERVAL="1000",
        ),
        check=False,
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "logged meanwhile" not in demo.stdout
    status, error = watch.end()
    assert (status, error) == (130, "")
    text = "\n".join(watch.lines)
    assert re.search(r"^gluellm-pools-demo \([0-9a-f]{8}\), heard", text, re.MULTILINE)
    busy = re.findall(r"openai/httpx2: active 4, idle 0, max 4 \| (\d+) queued", text)
    assert busy, text
    assert re.search(r"received, and not shown: \d+ spans", text)
    assert "refused" not in text


def test_it_stops_by_itself(watch):
    """--seconds: exit 0, within the time and a little."""
    own = Watch("--seconds", "1")
    assert own.process.wait(20) == 0
    assert own.url != watch.url


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to catch")
def test_sigterm_ends_it_cleanly(watch):
    """143, as the shell says it of a program that it ended; and no traceback."""
    assert watch.end(signal.SIGTERM) == (143, "")


def test_a_port_in_use_is_told(watch):
    """Exit 2 with what to do."""
    done = subprocess.run(
        [*COMMAND, "watch", "--port", str(watch.port)],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment(),
        check=False,
    )
    assert done.returncode == 2
    assert f"port {watch.port} of 127.0.0.1 is in use" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_that_is_none_of_ours_is_told():
    """Exit 2; a name that nobody knows as well."""
    for host in ("192.0.2.1", "nowhere.invalid"):
        done = subprocess.run(
            [*COMMAND, "watch", "--port", "0", "--host", host],
            capture_output=True,
            text=True,
            timeout=30,
            env=environment(),
            check=False,
        )
        assert done.returncode == 2
        assert host in done.stderr
        assert "Traceback" not in done.stderr


def test_another_address_than_loopback_is_warned_of():
    """There is no authentication."""
    open_to_all = Watch("--host", "0.0.0.0")
    assert open_to_all.url.startswith("http://127.0.0.1:")
    status, error = open_to_all.end()
    assert status == 130
    assert "there is no authentication" in error


def post(url: str, body: bytes, **headers: str) -> int:
    """The status of one request; 0 when the connection broke."""
    request = urllib.request.Request(
        f"{url}/v1/metrics", body, {"Content-Type": "application/x-protobuf", **headers}
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
    except OSError:
        return 0


def peak_megabytes(process: subprocess.Popen[str]) -> int:
    """The most memory that it ever had."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


@pytest.mark.slow
def test_memory_stays_bounded_in_a_flood(watch):
    """Bombs, empty parts, names, series and slow bodies, by many senders at once."""
    at_rest = peak_megabytes(watch.process)
    point = number(semconv.REQUESTS, 1)
    point.sum.data_points[0].attributes.add(key="server.address").value.string_value = "x" * 3000
    wide = metrics_request(*[point] * 1000).SerializeToString()
    many = [
        metrics_request(
            *(number(semconv.REQUESTS, 1, server__port=n + 2000 * part) for n in range(1000)),
            service__instance__id=part % 8,
        ).SerializeToString()
        for part in range(12)
    ]
    bodies = [
        (gzip.compress(bytes(100 * 2**20), 1), {"Content-Encoding": "gzip"}),
        (b"\x0a\x00" * 2**20, {}),
        (b"\x0a\x00" * 2**18, {}),
        (
            b'{"resourceMetrics": [' + b"{}," * 390_000 + b"{}]}",
            {"Content-Type": "application/json"},
        ),
        (gzip.compress(wide), {"Content-Encoding": "gzip"}),
        *((body, {}) for body in many),
    ]
    slow = [socket.create_connection(("127.0.0.1", watch.port)) for _ in range(40)]
    for connection in slow:
        connection.setblocking(False)
        start = b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n"
        connection.send(start + b"Content-Type: application/x-protobuf\r\n\r\n" + bytes(2**16))
    statuses: list[int] = []

    def send(first: int) -> None:
        for body, headers in bodies[first:] + bodies[:first]:
            statuses.append(post(watch.url, body, **headers))

    senders = [threading.Thread(target=send, args=(3 * n,)) for n in range(3)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    for connection in slow:
        connection.close()
    assert {200, 413} <= set(statuses)
    assert set(statuses) <= {0, 200, 413, 503}
    peak = peak_megabytes(watch.process)
    print(f"at rest {at_rest} MB, at most {peak} MB, answers {sorted(set(statuses))}")
    assert peak < FLOOD_MEGABYTES
    assert post(watch.url, many[0]) == 200
    assert watch.end()[0] == 130
