"""The examples of docs/ for gunicorn, uvicorn and Celery: each worker's calls are stored."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.processes import EXAMPLES, SCRIPTS, command, environment, served
from e2e.programs import STORES, Stack, Store
from gluellm_pools.fake_provider import FakeProvider
from support.waiting import wait_until

_REQUESTS = 24
# At most half of the requests, so that at least one of the two workers is replaced.
_MAX_REQUESTS = _REQUESTS // 2
_TASKS = 8
_FORKED = (3, 5, 8)
"""Number of calls of each forked worker."""
_BIND = "--bind 127.0.0.1:{port}"
SERVERS = {
    "gunicorn": "gunicorn --config gunicorn_conf.py --preload wsgi_app:application"
    f" --max-requests {_MAX_REQUESTS} {_BIND}",
    "uvicorn": "uvicorn --workers 2 asgi_app:app --port {port}",
    # Each worker gets its own id, and so does the parent, which serves no request.
    "zero-code": "opentelemetry-instrument gunicorn wsgi_app:application --workers 2"
    f" --threads 4 {_BIND}",
}

pytest.importorskip("any_llm")


def by_instance(
    store: Store, service: str, name: str = "gluellm_pool_requests_total"
) -> dict[str, float]:
    """Return the last value of a metric for each process of a service, alive or ended."""
    selector = f'{name}{{service_name="{service}"}}'
    rows = store.query(f"sum by (service_instance_id) (last_over_time({selector}[10m]))")
    return {row["metric"]["service_instance_id"]: row["value"][1] for row in rows}


def finally_stored(stack: Stack, service: str, right: Callable[[dict[str, float]], bool]) -> None:
    """Wait until each store has the requests and the waits of each process."""
    for name in STORES:
        store = getattr(stack, name)
        for metric in (
            "gluellm_pool_requests_total",
            "gluellm_pool_acquire_duration_seconds_count",
        ):

            def found(store: Store = store, metric: str = metric) -> dict[str, float]:
                return {k: v for k, v in by_instance(store, service, metric).items() if v}

            try:
                wait_until(lambda found=found: right(found()))
            except AssertionError:
                raise AssertionError(f"{metric} in {name}: {found()}") from None
            assert "pod-1" not in found()


def variables(stack: Stack, provider: FakeProvider, service: str, **more: str) -> dict[str, str]:
    """Return a server's environment: its client's address and key, and the export's endpoint."""
    return environment(
        stack.collector.http_endpoint,
        service,
        # All containers of a pod get the same id. The example's own id has precedence.
        "pod-1",
        OPENAI_BASE_URL=provider.openai_url,
        OPENAI_API_KEY="any",
        **more,
    )


@pytest.mark.parametrize("service", SERVERS)
def test_workers_store_all_requests(
    service: str, shared_stack: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """Workers export only when they end, so this also tests their last export."""
    program, *others = SERVERS[service].split()
    if service == "zero-code":
        others[0] = command(others[0])
    log = tmp_path / "log"
    with served(
        [command(program), *others], variables(shared_stack, provider, service), log
    ) as server:
        server.ask(_REQUESTS)
        if service == "gunicorn":
            # A worker that is replaced exports while the server continues.
            store = shared_stack.prometheus_otlp
            wait_until(
                lambda: max(by_instance(store, service).values(), default=0) >= _MAX_REQUESTS,
                "the last export of a worker that was replaced",
            )
    made = provider.counts.requests
    assert made > _REQUESTS
    finally_stored(shared_stack, service, lambda found: sum(found.values()) == made)
    assert "Traceback" not in log.read_text()
    if service == "zero-code":
        dropped = "gluellm_instrumentation_dropped_total"
        assert "pod-1" in by_instance(shared_stack.prometheus_otlp, service, dropped)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("when", ["after", "before"])
def test_forked_workers_add_up(when: str, shared_stack: Stack, provider: FakeProvider) -> None:
    """Each worker counts its own calls, whether it is set up before or after the fork.

    The parent does not export before the fork: a fork during an export would leave a lock of the
    SDK held in the child, which then could not export.
    """
    service = f"forked-{when}"
    finished = subprocess.run(
        [sys.executable, SCRIPTS / "forking.py", provider.openai_url, when, *map(str, _FORKED)],
        env=environment(shared_stack.collector.http_endpoint, service),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert provider.counts.requests == sum(_FORKED)
    finally_stored(shared_stack, service, lambda found: sorted(found.values()) == list(_FORKED))


def test_celery_processes_export_when_they_end(
    shared_stack: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """Two forked processes export last in `worker_process_shutdown`."""
    pytest.importorskip("celery")
    path = os.pathsep.join(
        filter(None, (str(EXAMPLES), str(SCRIPTS), os.environ.get("PYTHONPATH")))
    )
    settings = {
        **variables(shared_stack, provider, "celery"),
        "CELERY_BROKER_URL": "filesystem://",
        "FOLDER": str(tmp_path),
        "PYTHONPATH": path,
    }
    enqueue = (
        f"from celery_on_files import answer; [answer.delay('hello') for _ in range({_TASKS})]"
    )
    subprocess.run([sys.executable, "-c", enqueue], env=settings, check=True, timeout=60)
    with (tmp_path / "log").open("wb") as output:
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
    finally_stored(shared_stack, "celery", lambda found: sum(found.values()) == _TASKS)
