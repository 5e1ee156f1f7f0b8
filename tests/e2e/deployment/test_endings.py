"""Data that is lost when a process is frozen or killed, and when it is scraped."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.processes import EXAMPLES, caller, environment, scraped_at
from e2e.programs import Stack
from e2e.running import free_port, request
from gluellm_pools.fake_provider import FakeProvider
from support.waiting import wait_until

_FREEZE = """
import os, signal, serverless
serverless.handler({"question": "hello"}, None)
os.kill(os.getpid(), signal.SIGKILL)
"""

pytest.importorskip("any_llm")


def stored(stack: Stack, service: str) -> tuple[float, float]:
    """Return the last stored numbers of leases in the histogram and of answered requests."""
    values = []
    for name in (
        f'gluellm_pool_lease_duration_seconds_count{{job="{service}"}}',
        f'gluellm_pool_requests_total{{job="{service}",http_response_status_code="200"}}',
    ):
        rows = stack.prometheus_otlp.query(f"sum(last_over_time({name}[10m]))")
        values.append(rows[0]["value"][1] if rows else 0.0)
    return values[0], values[1]


def test_a_killed_process_loses_its_data_since_the_last_export(
    shared_stack: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """A frozen process that continues loses nothing."""
    endpoint = shared_stack.prometheus_otlp.otlp_endpoint
    variables = environment(endpoint, "frozen", every=0.2, OTEL_TRACES_EXPORTER="none")
    with caller(provider, variables, tmp_path / "log") as program:
        program.call(2)
        wait_until(lambda: stored(shared_stack, "frozen") == (2, 2), "two calls")
        program.call(3)
        program.process.send_signal(signal.SIGSTOP)
        program.process.send_signal(signal.SIGCONT)
        wait_until(lambda: stored(shared_stack, "frozen") == (5, 5), "three more, afterwards")
        program.kill()

    never = environment(endpoint, "killed", OTEL_TRACES_EXPORTER="none")
    with caller(provider, never, tmp_path / "log") as program:
        program.call(2)
        program.kill()
    assert stored(shared_stack, "killed") == (0, 0)


def test_a_function_that_flushes_loses_nothing(shared_stack: Stack, provider: FakeProvider) -> None:
    """The serverless example is killed as soon as its handler returns."""
    variables = environment(
        shared_stack.prometheus_otlp.otlp_endpoint,
        "function",
        OPENAI_BASE_URL=provider.openai_url,
        OPENAI_API_KEY="any",
    )
    finished = subprocess.run(
        [sys.executable, "-c", _FREEZE], env=variables, cwd=EXAMPLES, timeout=60, check=False
    )
    assert finished.returncode == -signal.SIGKILL
    assert stored(shared_stack, "function") == (1, 1)


def test_a_page_that_is_scraped_ends_with_its_process(
    provider: FakeProvider, tmp_path: Path
) -> None:
    """Its last values are not pushed. A second process cannot listen on the same port."""
    port = free_port()
    variables = scraped_at(port)

    def page() -> str:
        return request(port, "/metrics")[1]

    with caller(provider, variables, tmp_path / "first") as first:
        first.call(2)
        (requests,) = (
            line
            for line in page().splitlines()
            if line.startswith("gluellm_pool_requests_total{") and 'status_code="200"' in line
        )
        assert requests.endswith(" 2.0")
        # Only one series has the label that identifies the process.
        assert "service_instance_id" not in requests
        assert page().count("service_instance_id=") == 1

        with caller(provider, variables, tmp_path / "second") as second:
            second.call(1)
        log = (tmp_path / "second").read_text()
        assert "Failed to auto initialize OpenTelemetry" in log
        assert "Address already in use" in log

    with pytest.raises(OSError, match="refused"):
        page()
