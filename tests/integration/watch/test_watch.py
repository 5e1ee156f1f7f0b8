"""``gluellm-pools watch`` in its own process, with real exporters."""

import contextlib
import gzip
import importlib.util
import json
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
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import (
    OTLPMetricExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from gluellm_pools.main import EXIT_BROKEN_PIPE, main
from gluellm_pools.watch.limits import BODY_BYTES
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import field, metrics_request, number
from support.watching import COMMAND, Exporting, Watch, ended, started

WATCH = [*COMMAND, "watch", "--port", "0"]


@pytest.fixture
def watch() -> Iterator[Watch]:
    with Watch() as started:
        yield started


def test_exports_of_the_sdk_are_shown(watch, caplog):
    """Each process is shown under its own name. Waits in exponential histograms are not shown."""
    exponential = {Histogram: ExponentialBucketHistogramAggregation()}
    kinds = {
        "gzip": {"compression": Compression.Gzip},
        "exponential": {"preferred_aggregation": exponential},
    }
    with caplog.at_level(logging.DEBUG, "opentelemetry"):
        for played, (instance, options) in enumerate(kinds.items(), 3):
            program = Exporting(watch.url, instance, **options)
            program.play(played)
            program.export()
            program.provider.shutdown()
    assert watch.end() == (130, "")
    shown = {
        instance: re.findall(
            rf"shop \({instance}\): exported .*\n  (openai/httpx2.*)", "\n".join(watch.lines)
        )[-1]
        for instance in kinds
    }
    opened = {
        instance: re.findall(r"(\d+) connections? opened", line) for instance, line in shown.items()
    }
    assert opened == {"gzip": ["3"], "exponential": ["4"]}
    assert re.search(r"mean 0.20 s, p50 ~0.1", shown["gzip"])
    assert "mean -, p50 -, p95 -, p99 -" in shown["exponential"]
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]


def test_spans_and_logs_are_accepted_and_the_packages_warnings_shown(watch, caplog):
    """A program that exports all signals to the watch logs no errors."""
    resource = Resource({"service.name": "shop"})
    tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{watch.url}/v1/traces")))
    loggers = LoggerProvider(resource, shutdown_on_exit=False)
    exporter = OTLPLogExporter(f"{watch.url}/v1/logs")
    loggers.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    logger = logging.getLogger(semconv.SCOPE_NAME)
    handler = LoggingHandler(logger_provider=loggers)
    logger.addHandler(handler)
    try:
        tracers.get_tracer("any").start_span("call").end()
        logger.warning("Connection leak suspected in pool %s.\x1b[2J", "openai/httpx2")
    finally:
        logger.removeHandler(handler)
    watch.wait_for(r"^WARNING from shop: Connection leak suspected in pool openai/httpx2")
    # After SIGTERM, the status is the one that a shell reports.
    assert watch.end(signal.SIGTERM) == (143, "")
    assert watch.found("No metrics arrive, only spans")
    assert "\x1b" not in "".join(watch.lines)
    assert not [r for r in caplog.records if r.name.startswith("opentelemetry.exporter")]


def test_wrong_exports_are_explained(watch):
    """These are metrics of other scopes only, and gRPC, opentelemetry-instrument's default."""
    for exporter in (
        OTLPMetricExporter(f"{watch.url}/v1/metrics"),
        GrpcExporter(watch.url, insecure=True, timeout=1),
    ):
        reader = PeriodicExportingMetricReader(exporter, float("inf"))
        provider = MeterProvider([reader], shutdown_on_exit=False)
        provider.get_meter("somebody.else").create_counter("things").add(1)
        provider.force_flush(2000)
        provider.shutdown(1000)
    line = watch.wait_for("Its metrics arrive")
    assert "(scopes: somebody.else" in line.string
    assert "instrument() called in it" in line.string
    watch.wait_for("gRPC was sent here: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf")


@pytest.mark.skipif(
    importlib.util.find_spec("opentelemetry.distro") is None, reason="needs opentelemetry-distro"
)
@pytest.mark.parametrize("handed_over", [True, False])
def test_warnings_are_shown_if_the_documented_variable_is_set(watch, handed_over):
    """Without it, they are on stderr, although the distro sets up a log exporter."""
    variable = "OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED"
    warn = f"import logging; logging.getLogger('{semconv.SCOPE_NAME}').warning('a leak')"
    start = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
    finished = ended(
        *(sys.executable, "-c", start, sys.executable, "-c", warn),
        OTEL_EXPORTER_OTLP_ENDPOINT=watch.url,
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="logging",
        **({variable: "true"} if handed_over else {}),
    )
    assert finished.returncode == 0, finished.stderr
    watch.wait_for("Instrumented, but no request has been observed yet")
    watch.end()
    assert bool(watch.found("WARNING from .*: a leak")) is handed_over
    assert ("a leak" in finished.stderr) is not handed_over


# Exit


def test_it_stops_by_itself_with_one_json_object():
    """With --for, the status is 0. Standard output has only the object."""
    done = ended(*WATCH, "--for", "1", "--json", timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert json.loads(done.stdout) == {"processes": [], "messages": []}


@pytest.mark.parametrize("host", ["..", "a" * 80, "192.0.2.1", "nowhere.invalid"])
def test_host_of_another_machine_is_refused(host, capsys):
    """The status is 2, with one line. An invalid name fails without a DNS query."""
    assert main(["watch", "--port", "0", "--host", host]) == 2
    error = capsys.readouterr().err
    assert error.startswith("gluellm-pools watch: ")
    assert host in error
    assert error.count("\n") == 1


def test_empty_host_is_the_default(capsys):
    """``--host "$HOST"`` is empty without the variable. A socket would listen on all addresses."""
    assert main(["watch", "--port", "0", "--host", "", "--for", "1ms", "--json"]) == 0
    assert "Listening on http://127.0.0.1:" in capsys.readouterr().err


def test_port_in_use_is_reported(capsys):
    """The status is 2, and the message has advice."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["watch", "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert f"can't listen on port {port} of 127.0.0.1: Address already in use" in error
    assert "--port" in error


def test_closed_output_ends_it():
    """`| head -1` closes the output, for example."""
    left = started(*WATCH, "--seconds", "30")
    assert left.stdout is not None
    left.stdout.close()
    _, error = left.communicate(timeout=60)
    assert (left.returncode, error) == (EXIT_BROKEN_PIPE, "")


# Hostile exports

ROOM = BODY_BYTES - 1000
PROTOBUF = "application/x-protobuf"
GZIP = {"Content-Encoding": "gzip"}


def post(url: str, body: bytes, **headers: str) -> int:
    """Return the status of a request, or 0 if the connection broke."""
    headers = {"Content-Type": PROTOBUF, **headers}
    request = urllib.request.Request(f"{url}/v1/metrics", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return int(error.code)
    except OSError:
        return 0


def peak_megabytes(process: subprocess.Popen[str]) -> int:
    """Return the peak memory of a process."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", status)
    return int(kilobytes) // 1024


def nested(inner: bytes, *numbers: int) -> bytes:
    """Nest a field into others. Its number is the last one."""
    for outer in reversed(numbers):
        inner = field(outer, inner)
    return inner


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_bodies_that_grow_take_no_more_than_their_bound(watch):
    """They are small when sent, but large when decoded.

    Packed numbers of one byte take eight bytes. Empty texts and points are sent as two bytes.
    """
    for body in (
        nested(b"\x01" * ROOM, 1, 2, 2, 10, 1, 8, 2),
        nested(b"\x1a\x00" * (ROOM // 2), 1, 1, 3),
        nested(b"\x0a\x00" * (ROOM // 2), 1, 2, 2, 7),
    ):
        assert len(body) <= BODY_BYTES
        assert post(watch.url, gzip.compress(body, 1), **GZIP) == 200
    assert peak_megabytes(watch.process) < 250


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_memory_stays_bounded_in_a_flood(watch):
    """Many clients send zip bombs, empty parts, long names, many series and slow bodies."""
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
    bodies: list[tuple[bytes, dict[str, str]]] = [
        (gzip.compress(bytes(100 * 2**20), 1), GZIP),
        (b"\x0a\x00" * 2**20, {}),
        (b"\x0a\x00" * 2**18, {}),
        (gzip.compress(wide, 1), GZIP),
        *((body, {}) for body in many),
    ]
    statuses: set[int] = set()

    def send(first: int) -> None:
        for body, headers in bodies[first::5]:
            statuses.add(post(watch.url, body, **headers))

    with contextlib.ExitStack() as stack:
        start = b"POST /v1/metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n"
        for _ in range(40):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", watch.port)))
            slow.setblocking(False)
            slow.send(start + b"Content-Type: application/x-protobuf\r\n\r\n" + bytes(2**16))
        senders = [threading.Thread(target=send, args=(n,)) for n in range(5)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
    assert {200, 413} <= statuses <= {0, 200, 413, 503}
    assert peak_megabytes(watch.process) < 250
    assert post(watch.url, many[0]) == 200
    assert watch.end()[0] == 130
