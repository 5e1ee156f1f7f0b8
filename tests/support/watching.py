"""A running ``gluellm-pools watch``, and a program that exports to it."""

import os
import re
import signal
import subprocess
import sys
import threading
from typing import Any, Self

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from support.otlp import POOL
from support.waiting import wait_until

COMMAND = [sys.executable, "-m", "gluellm_pools.main"]


def environment(**more: str) -> dict[str, str]:
    """This process's environment, without variables that change the programs."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "COLUMNS"))}
    return {**kept, "COLUMNS": "100", **more}


def started(*command: str, **more: str) -> subprocess.Popen[str]:
    """Start a program whose output can be read."""
    env, pipe = environment(**more), subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=env)


def ended(*command: str, timeout: float = 60, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    env = environment(**more)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=env, check=False
    )


class Watch:
    """A running watch whose lines are read as they come."""

    def __init__(self, *arguments: str) -> None:
        self.process = started(*COMMAND, "watch", "--port", "0", *arguments)
        self.lines: list[str] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        line = wait_until(lambda: self.found(r"Listening on (\S+)"), "it listens")
        self.url = line[1]
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip("\n"))

    def found(self, pattern: str) -> re.Match[str] | None:
        """The first line with the pattern."""
        return next((match for line in self.lines if (match := re.search(pattern, line))), None)

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Wait for the first line with the pattern."""
        return wait_until(lambda: self.found(pattern), pattern)

    def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        """End the watch; return its exit status and stderr."""
        self.process.send_signal(how)
        status = self.process.wait(30)
        self._reading.join(30)
        assert self.process.stderr is not None
        return status, self.process.stderr.read()


class Exporting:
    """A program's SDK with the package's scope and a real OTLP exporter."""

    def __init__(self, url: str, instance: str = "one", **options: Any) -> None:
        exporter = OTLPMetricExporter(f"{url}/v1/metrics", timeout=30, **options)
        reader = PeriodicExportingMetricReader(exporter, float("inf"))
        resource = Resource({"service.name": "shop", "service.instance.id": instance})
        self.provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = self.provider.get_meter(semconv.SCOPE_NAME)
        self.requests = meter.create_counter(semconv.REQUESTS.name)
        self.waits = meter.create_histogram(
            semconv.ACQUIRE_DURATION.name,
            explicit_bucket_boundaries_advisory=semconv.ACQUIRE_DURATION.buckets,
        )
        self.opened = meter.create_counter(semconv.CONNECTION_OPENED.name)

    def play(self, requests: int) -> None:
        """Record requests that each opened a connection and waited."""
        for _ in range(requests):
            self.requests.add(1, POOL)
            self.opened.add(1, POOL)
            self.waits.record(0.2, POOL)

    def export(self) -> None:
        """Export now, and wait for the response."""
        assert self.provider.force_flush()
