"""The program under test as a process of its own, told by a line what to do."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import metric_name

SERVICE = "calling"
INTERVAL = 0.2
"""Seconds between two exports."""
TIMEOUT = 0.5
"""Seconds after which an export is given up. The SDK's default is 10."""
NO_TELEMETRY = "none"
PROTOCOLS = ("grpc", "http/protobuf")

_CALLING = Path(__file__).with_name("calling.py")
_TESTS = Path(__file__).parents[2]
_ANSWERS_WITHIN = 60.0


def telemetry_environment(endpoint: str, instance: str, timeout: float = TIMEOUT) -> dict[str, str]:
    """What tells the SDK where to export to and who it is, with gzip and often."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_EXPORTER_OTLP_TIMEOUT": str(timeout),
        "OTEL_METRIC_EXPORT_INTERVAL": f"{INTERVAL * 1000:.0f}",
        "OTEL_BSP_SCHEDULE_DELAY": f"{INTERVAL * 1000:.0f}",
        "OTEL_SERVICE_NAME": SERVICE,
        "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={instance}",
    }


def environment(**more: str) -> dict[str, str]:
    """Ours without settings of telemetry, with what finds this package."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return {**kept, "PYTHONPATH": str(_TESTS), **more}


def requests_of(instance: str) -> str:
    """Selects the requests that an instance has counted, in any store."""
    return f'{metric_name(semconv.REQUESTS)}{{service_instance_id="{instance}"}}'


class Application:
    """A running ``calling.py``. Its log is in a file, since a pipe that nobody reads blocks it."""

    def __init__(
        self, provider_url: str, protocol: str, log: Path, variables: Mapping[str, str]
    ) -> None:
        self.log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(_CALLING), provider_url, protocol],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment(**variables),
                start_new_session=True,  # Ctrl-C is for the tests
            )

    def ask(self, command: str) -> dict[str, Any]:
        """Give a command and wait for its figures. Raises AssertionError when none come."""
        self.tell(command)
        return self.answer()

    def tell(self, command: str) -> None:
        """Give a command; `answer` is the other half of `ask`."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """Wait for the figures that a command asked for."""
        process = self._process
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            assert selector.select(_ANSWERS_WITHIN), "no answer in time"
        line = process.stdout.readline()
        assert line, f"the program ended: {self.log.read_text()[-2000:]}"
        found: dict[str, Any] = json.loads(line)
        return found

    def stop(self) -> None:
        """Let it end by itself. Raises AssertionError when it fails."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        status = self._process.wait(_ANSWERS_WITHIN)
        assert status == 0, self.log.read_text()[-2000:]

    def kill(self) -> None:
        """SIGKILL, if it still runs."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
