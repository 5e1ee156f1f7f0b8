"""Users' programs as processes: the examples of docs/, and one that makes calls on demand."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from gluellm_pools.fake_provider import FakeProvider
from support.waiting import wait_until

from .running import HOST, answers, free_port

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SCRIPTS = Path(__file__).parent / "deployment" / "scripts"
NEVER = 3600.0
"""Seconds between two exports: only the last one happens."""
_TESTS = Path(__file__).parents[1]
_ENDS_WITHIN = 40.0


def command(name: str) -> str:
    """Return the path of a console script in the environment that runs the tests."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        pytest.skip(f"{name} is not installed: pip install --group test")
    return str(path)


def environment(
    endpoint: str = "", service: str = "", instance: str = "", every: float = NEVER, **more: str
) -> dict[str, str]:
    """Return this process's environment variables, with settings for telemetry."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    ours = {
        "PYTHONPATH": os.pathsep.join(filter(None, (str(_TESTS), kept.get("PYTHONPATH")))),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
        "OTEL_METRIC_EXPORT_INTERVAL": f"{every * 1000:.0f}",
        "OTEL_LOGS_EXPORTER": "none",
        "OTEL_SERVICE_NAME": service,
        "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={instance}" if instance else "",
    }
    return {**kept, **ours, **more}


def scraped_at(port: int) -> dict[str, str]:
    """Return variables for a zero-code program that serves its metrics on a page."""
    return environment(
        OTEL_METRICS_EXPORTER="prometheus",
        OTEL_TRACES_EXPORTER="none",
        OTEL_EXPORTER_PROMETHEUS_HOST=HOST,
        OTEL_EXPORTER_PROMETHEUS_PORT=str(port),
    )


class Caller:
    """A zero-code program. Its environment configures the export."""

    def __init__(self, provider: FakeProvider, variables: Mapping[str, str], log: Path) -> None:
        script = SCRIPTS / "caller.py"
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [command("opentelemetry-instrument"), sys.executable, script, provider.openai_url],
                env=dict(variables),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        self.log = log

    def call(self, times: int) -> None:
        """Make calls and wait until they have ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "called\n", self.log.read_text()

    def kill(self) -> None:
        """End it without its exit handlers."""
        self.process.kill()
        self.process.wait()


@contextmanager
def caller(provider: FakeProvider, variables: Mapping[str, str], log: Path) -> Iterator[Caller]:
    """Run a `Caller` until the end of the block."""
    running = Caller(provider, variables, log)
    try:
        yield running
        running.process.communicate(timeout=_ENDS_WITHIN)
    finally:
        running.kill()


class Server:
    """A web server of the examples. Each request to it makes a call to the provider."""

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
                start_new_session=True,  # `served` kills the group, with all workers
            )
        self.log = log

    def asked(self) -> bool:
        """Send a request and return whether it was answered."""
        return answers(self.port, "/")

    def ask(self, times: int) -> None:
        """Send requests, eight at a time; each must be answered."""
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(lambda _: self.asked(), range(times))), self.log.read_text()


@contextmanager
def served(arguments: list[str], variables: Mapping[str, str], log: Path) -> Iterator[Server]:
    """Run a server for the block, which begins when the server has answered a request."""
    server = Server(arguments, variables, log)
    try:
        wait_until(lambda: server.process.poll() is not None or server.asked(), "an answer")
        assert server.process.poll() is None, log.read_text()
        yield server
        server.process.terminate()
        server.process.wait(_ENDS_WITHIN)
    finally:
        if server.process.poll() is None:
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
