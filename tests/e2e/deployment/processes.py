"""Programs of users as processes: the examples of docs/, and one that calls when it is told to."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.programs import free_port
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from support.waiting import wait_until

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
HOST = "127.0.0.1"
_CALLER = Path(__file__).parent / "scripts" / "caller.py"
_BEGINS_WITHIN = 30.0
_ENDS_WITHIN = 40.0


def command(name: str) -> str:
    """A console script of the environment that runs the tests."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not installed: pip install --group test")
    return str(path)


def environment(endpoint: str, service: str, **more: str) -> dict[str, str]:
    """Variables of a program that exports metrics, and spans, to the base URL of an endpoint."""
    keep = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {
        **keep,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": service,
        **more,
    }


class Caller:
    """A zero-code program; it exports as its environment says."""

    def __init__(self, provider: FakeProvider, variables: Mapping[str, str], log: Path) -> None:
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [command("opentelemetry-instrument"), sys.executable, _CALLER, provider.openai_url],
                env=dict(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.log = log

    def call(self, times: int) -> None:
        """Make calls, and wait for their answers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "called\n", self.log.read_text()

    def send(self, number: signal.Signals) -> None:
        """A signal; SIGKILL is waited for."""
        self.process.send_signal(number)
        if number is signal.SIGKILL:
            self.process.wait(_ENDS_WITHIN)

    def end(self) -> None:
        """Let it come to its end, with its exit handlers."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        if not self.process.stdin.closed:
            self.process.stdin.close()
        self.process.wait(_ENDS_WITHIN)
        self.process.stdout.close()


@contextmanager
def caller(provider: FakeProvider, variables: Mapping[str, str], log: Path) -> Iterator[Caller]:
    """A `Caller` that is gone in the end, however the block ends."""
    running = Caller(provider, variables, log)
    try:
        yield running
        running.end()
    finally:
        running.process.kill()
        running.process.wait()


class Server:
    """A web server of the examples; each request to it is a call to the provider."""

    def __init__(self, arguments: list[str], variables: Mapping[str, str], log: Path) -> None:
        self.port = free_port()
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [argument.replace("{port}", str(self.port)) for argument in arguments],
                env=dict(variables),
                cwd=EXAMPLES,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # its workers end with it: see `served`
            )
        self.log = log

    def asked(self) -> bool:
        """Whether a request was answered."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=_BEGINS_WITHIN)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ask(self, times: int) -> None:
        """Send so many requests, eight at a time; each must be answered."""
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(lambda _: self.asked(), range(times))), self.log.read_text()


@contextmanager
def served(arguments: list[str], variables: Mapping[str, str], log: Path) -> Iterator[Server]:
    """A server that answered once; at the block's end it is asked to end, and has."""
    server = Server(arguments, variables, log)
    try:
        wait_until(
            lambda: server.process.poll() is not None or server.asked(),
            "an answer",
            _BEGINS_WITHIN,
        )
        assert server.process.poll() is None, log.read_text()
        yield server
        server.process.terminate()
        server.process.wait(_ENDS_WITHIN)
    finally:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
