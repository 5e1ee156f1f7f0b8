"""The examples of docs/ for gunicorn, uvicorn and Celery: each call is stored, by its worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.programs import Stack
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProvider
from support.waiting import wait_until

from .processes import EXAMPLES, command, environment, served

_REQUESTS = 24
_TASKS = 8
_SCRIPTS = Path(__file__).parent / "scripts"

pytest.importorskip("any_llm")


@pytest.fixture(scope="module")
def to_prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A Collector that sends to the OTLP endpoint of Prometheus."""
    stack = Stack(tmp_path_factory.mktemp("stack"))
    try:
        stack.start("collector", "prometheus_otlp")
        yield stack
    finally:
        stack.stop()


def by_instance(stack: Stack, service: str, name: str, labels: str = "") -> dict[str, float]:
    """The last value of a metric in each process of a service, whether it lives or not."""
    rows = stack.prometheus_otlp.query(
        f'sum by (instance) (last_over_time({name}{{job="{service}"{labels}}}[10m]))'
    )
    return {row["metric"]["instance"]: row["value"][1] for row in rows}


def answered(stack: Stack, service: str) -> dict[str, float]:
    """Requests that were answered, by process, as far as they are stored."""
    status = ',http_response_status_code="200"'
    return by_instance(stack, service, "gluellm_pool_requests_total", status)


def stored(stack: Stack, service: str, times: int) -> dict[str, float]:
    """The same, once their sum is there."""
    try:
        wait_until(lambda: sum(answered(stack, service).values()) == times)
    except AssertionError:
        raise AssertionError(f"{answered(stack, service)}, not {times} in all") from None
    return answered(stack, service)


def variables(stack: Stack, provider: FakeProvider, service: str, **more: str) -> dict[str, str]:
    """A server's: its client's address and key, and where telemetry goes."""
    return environment(
        stack.collector.http_endpoint,
        service,
        OPENAI_BASE_URL=provider.openai_url,
        OPENAI_API_KEY="any",
        # As the containers of a pod get it. The example's own id wins.
        OTEL_RESOURCE_ATTRIBUTES="service.instance.id=pod-1,k8s.pod.name=answers-0",
        **more,
    )


# Not more than half of the requests, so that one of the two workers at least is replaced.
_MAX_REQUESTS = _REQUESTS // 2
_GUNICORN = (
    f"gunicorn --config gunicorn_conf.py --max-requests {_MAX_REQUESTS} wsgi_app:application"
)


@pytest.mark.parametrize(
    "arguments",
    [f"{_GUNICORN} --bind 127.0.0.1:{{port}}", "uvicorn --workers 2 asgi_app:app --port {port}"],
    ids=["gunicorn", "uvicorn"],
)
def test_what_workers_did_adds_up(
    arguments: str, to_prometheus: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """Nothing is exported before the end, so this is also the export of workers that go."""
    service, *others = arguments.split()
    log = tmp_path / "log"
    with served(
        [command(service), *others], variables(to_prometheus, provider, service), log
    ) as server:
        server.ask(_REQUESTS)
        if service == "gunicorn":
            # A worker that is replaced exports while the server goes on.
            wait_until(
                lambda: max(answered(to_prometheus, service).values(), default=0) >= _MAX_REQUESTS,
                "the last export of a worker that was replaced",
                30,
            )
    found = stored(to_prometheus, service, provider.counts.completed)
    assert provider.counts.completed > _REQUESTS
    assert "pod-1" not in found
    assert "Traceback" not in log.read_text()


def test_forked_from_an_instrumented_process(
    to_prometheus: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """Under opentelemetry-instrument: workers get ids of their own, and the parent is one more."""
    arguments = "wsgi_app:application --workers 2 --threads 4 --bind 127.0.0.1:{port}".split()
    with served(
        [command("opentelemetry-instrument"), command("gunicorn"), *arguments],
        variables(to_prometheus, provider, "zero-code"),
        tmp_path / "log",
    ) as server:
        server.ask(_REQUESTS)
    found = stored(to_prometheus, "zero-code", provider.counts.completed)
    assert "pod-1" not in found
    everyone = by_instance(to_prometheus, "zero-code", "gluellm_instrumentation_dropped_total")
    assert set(everyone) >= {*found, "pod-1"}


def test_celery_processes_export_when_they_end(
    to_prometheus: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """Two forked processes; their last export is that of `worker_process_shutdown`."""
    pytest.importorskip("celery")
    settings = {
        **variables(to_prometheus, provider, "celery"),
        "CELERY_BROKER_URL": "filesystem://",
        "FOLDER": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES), str(_SCRIPTS)]),
    }
    enqueue = (
        f"from celery_on_files import answer; [answer.delay('hello') for _ in range({_TASKS})]"
    )
    subprocess.run([sys.executable, "-c", enqueue], env=settings, check=True, timeout=60)
    log = tmp_path / "log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [command("celery"), "--app", "celery_on_files", "worker", "--concurrency", "2"],
            env=settings,
            cwd=tmp_path,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_until(lambda: provider.counts.completed == _TASKS, "the tasks' calls", 60)
        worker.terminate()
        worker.wait(40)
    finally:
        if worker.poll() is None:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
    assert "pod-1" not in stored(to_prometheus, "celery", _TASKS), log.read_text()
