"""Several processes of one program: their counts add up, as long as each has an id of its own."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from e2e.deployment.processes import command, served
from e2e.faults.application import environment, telemetry_environment
from e2e.programs import Stack, Store
from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    Behaviour,
    FakeProvider,
    FakeProviderThread,
)
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import metric_name
from support.waiting import wait_until

pytest.importorskip("any_llm")
pytest.importorskip("openai")

STORES = ("prometheus_scraping", "prometheus_otlp", "victoria_metrics")
WORKERS = 4
_SCRIPTS = Path(__file__).parent / "scripts"
_REQUESTS = metric_name(semconv.REQUESTS)
_ACQUIRED = f"{metric_name(semconv.ACQUIRE_DURATION)}_count"
_PATIENCE = 40.0
_CALLS = (3, 5, 8, 13)


def by_instance(store: Store, name: str, service: str) -> dict[str, float]:
    """The last value of a metric by process, in any store, whether it lives or not."""
    selector = f'{name}{{service_name="{service}"}}'
    rows = store.query(f"sum by (service_instance_id) (last_over_time({selector}[5m]))")
    return {row["metric"]["service_instance_id"]: row["value"][1] for row in rows}


def finally_equal(found: Callable[[], object], expected: object) -> None:
    """Wait for it; where it stays different, show both."""

    def equal() -> bool:
        time.sleep(0.1)
        return found() == expected

    try:
        wait_until(equal, timeout=_PATIENCE)
    except AssertionError:
        assert found() == expected


def ask(port: int) -> str:
    """One request to the server; the process that answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        assert response.status == 200, response.read()
        return str(response.headers["X-Process"])
    finally:
        connection.close()


def test_four_workers_of_gunicorn_add_up(shared_stack: Stack, tmp_path: Path) -> None:
    """By the configuration of docs/: each worker is an instance, with just what it answered."""
    service = "four-workers"
    log = tmp_path / "log"
    answered: Counter[str] = Counter()
    # An answer takes long enough for the next request to find another worker.
    with FakeProviderThread(behaviour=Behaviour(head_delay=0.1)) as provider:
        variables = {
            **telemetry_environment(shared_stack.collector.http_endpoint, "shared-by-all"),
            "OTEL_SERVICE_NAME": service,
            "OPENAI_BASE_URL": provider.openai_url,
            "OPENAI_API_KEY": "any",
        }
        arguments = (
            f"--config gunicorn_conf.py --preload --workers {WORKERS} "
            "--bind 127.0.0.1:{port} telling_app:application"
        ).split()
        environ = {**environment(**variables), "PYTHONPATH": str(_SCRIPTS)}
        with (
            served([command("gunicorn"), *arguments], environ, log) as server,
            ThreadPoolExecutor(2 * WORKERS) as clients,
        ):
            first = provider.counts.completed  # which process answered these is not known
            deadline = time.monotonic() + _PATIENCE
            while len(answered) < WORKERS or min(answered.values()) < 2:
                assert time.monotonic() < deadline, f"{answered}\n{log.read_text()}"
                answered.update(clients.map(ask, [server.port] * 2 * WORKERS))
            made = first + answered.total()
            assert provider.counts.completed == made
            for name in STORES:
                store = getattr(shared_stack, name)
                # While they run: by what is exported now and then.
                finally_equal(
                    lambda s=store: sum(by_instance(s, _REQUESTS, service).values()), made
                )
    for name in STORES:
        store = getattr(shared_stack, name)
        for metric in (_REQUESTS, _ACQUIRED):
            found = {k: v for k, v in by_instance(store, metric, service).items() if v}
            assert len(found) == WORKERS
            assert "shared-by-all" not in found
            assert sum(found.values()) == made
    each = sorted(by_instance(shared_stack.prometheus_otlp, _REQUESTS, service).values())
    lacking = [have - least for have, least in zip(each, sorted(answered.values()), strict=True)]
    assert sum(lacking) == first
    assert "Traceback" not in log.read_text()


def fork(
    provider: FakeProvider, stack: Stack, service: str, when: str, **more: str
) -> dict[str, int]:
    """Four forked workers with calls of their own; what each made."""
    variables = {
        **telemetry_environment(stack.collector.http_endpoint, ""),
        "OTEL_SERVICE_NAME": service,
        "OTEL_RESOURCE_ATTRIBUTES": "",
        **more,
    }
    finished = subprocess.run(
        [sys.executable, _SCRIPTS / "forking.py", provider.openai_url, when, *map(str, _CALLS)],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    found: dict[str, int] = json.loads(finished.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.parametrize("when", ["after", "before"])
def test_forked_workers_add_up(when: str, shared_stack: Stack, provider: FakeProvider) -> None:
    """Set up in each worker, or once before the fork: each counts its own calls, and no others.

    Before the fork only as long as none falls into an export of the parent: a lock of the SDK's
    then stays held in the child, which never exports. So there is none here before the workers'.
    """
    service = f"forked-{when}"
    fork(provider, shared_stack, service, when, OTEL_METRIC_EXPORT_INTERVAL="3600000")
    assert provider.counts.completed == sum(_CALLS)
    for name in STORES:
        store = getattr(shared_stack, name)
        for metric in (_REQUESTS, _ACQUIRED):

            def counts(store: Store = store, metric: str = metric) -> list[float]:
                return sorted(filter(None, by_instance(store, metric, service).values()))

            finally_equal(counts, list(_CALLS))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_workers_that_share_an_id_do_not_add_up(
    shared_stack: Stack, provider: FakeProvider
) -> None:
    """The broken set-up that docs/ warn of: one series, with the count of whoever came last."""
    service = "one-for-all"
    shared = "service.instance.id=one-for-all"
    fork(provider, shared_stack, service, "after", OTEL_RESOURCE_ATTRIBUTES=shared)
    assert provider.counts.completed == sum(_CALLS)
    for name in STORES:
        store = getattr(shared_stack, name)
        wait_until(lambda s=store: by_instance(s, _REQUESTS, service), "it is stored", _PATIENCE)
        (found,) = by_instance(store, _REQUESTS, service).values()
        assert found <= max(_CALLS) < sum(_CALLS)
