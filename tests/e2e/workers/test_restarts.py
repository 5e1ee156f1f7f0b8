"""A process that starts again under the same instance: its counters begin anew, increases don't."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.faults.application import environment, requests_of, telemetry_environment
from e2e.faults.playing import increase
from e2e.programs import Prometheus, Stack, Store
from opentelemetry.instrumentation.gluellm.cli.fake_provider import FakeProviderThread
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import metric_name
from support.waiting import wait_until

pytest.importorskip("any_llm")
pytest.importorskip("openai")

RUNS = {"falls": (7, 5), "rises": (7, 9)}
"""Calls before the only export of each process. ``rises`` looks like a counter that went on."""
ZERO = "created-timestamp-zero-ingestion"
"""Prometheus' feature that stores a 0 for the moment at which a counter began to count."""
_SCRIPT = Path(__file__).parent / "scripts" / "calling_and_exporting.py"
_ACQUIRED = f"{metric_name(semconv.ACQUIRE_DURATION)}_count"
_PATIENCE = 40.0
_ENDS_WITHIN = 90.0


class Featured(Prometheus):
    """Prometheus with these features, whatever compose.yaml says."""

    def __init__(self, name: str, folder: Path, *features: str) -> None:
        super().__init__(name, folder)
        self._features = features

    def command(self, executable: Path) -> list[str]:
        flags = [f for f in super().command(executable) if not f.startswith("--enable-feature")]
        return [*flags, *(f"--enable-feature={feature}" for feature in self._features)]


def last(store: Store, instance: str) -> float:
    """The last count of an instance."""
    rows = store.query(f"last_over_time({requests_of(instance)}[5m])")
    return sum(row["value"][1] for row in rows)


def stored_increase(store: Store, selector: str) -> float:
    """By how much a counter rose, as its samples say."""
    rows = store.samples(selector)
    return sum(increase([value for _, value in row["values"]]) for row in rows)


def play(stack: Stack, stores: tuple[Store, ...], names: tuple[str, ...]) -> None:
    """Both processes of each run; the second starts when the stores have all of the first."""
    with FakeProviderThread() as provider:
        for number in range(2):
            processes = [
                subprocess.Popen(
                    [sys.executable, _SCRIPT, provider.openai_url, str(RUNS[name][number])],
                    env=environment(
                        **telemetry_environment(stack.collector.http_endpoint, name, timeout=10)
                    ),
                )
                for name in names
            ]
            try:
                assert [process.wait(_ENDS_WITHIN) for process in processes] == [0] * len(names)
            finally:
                for process in processes:
                    process.kill()
                    process.wait()

            def complete(number: int = number) -> bool:
                time.sleep(0.1)
                return all(last(s, name) == RUNS[name][number] for s in stores for name in names)

            wait_until(complete, f"what process {number + 1} made is stored", _PATIENCE)


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Stores that have both processes of each run; Prometheus knows when they began."""
    folder = tmp_path_factory.mktemp("restarts")
    stack = Stack(folder / "stack")
    stack.prometheus_scraping = Featured("prometheus_scraping", folder, ZERO)
    stack.prometheus_otlp = Featured("prometheus_otlp", folder, ZERO)
    try:
        stack.start()
        stores = (stack.prometheus_scraping, stack.prometheus_otlp, stack.victoria_metrics)
        play(stack, stores, tuple(RUNS))
        yield stack
    finally:
        stack.stop()


def made_and_stored(store: Store, run: str) -> list[tuple[int, float]]:
    """What both processes made, and what the store's counter and histogram rose by."""
    requests = requests_of(run)
    acquired = requests.replace(metric_name(semconv.REQUESTS), _ACQUIRED)
    return [(sum(RUNS[run]), stored_increase(store, name)) for name in (requests, acquired)]


@pytest.mark.parametrize("run", RUNS)
def test_prometheus_counts_a_restart_that_it_is_told_of(run: str, restarted: Stack) -> None:
    """The start timestamps of OTLP say that a counter began anew, also where it does not fall."""
    store = restarted.prometheus_otlp
    for made, stored in made_and_stored(store, run):
        assert stored == made
    selector = requests_of(run)
    (resets,) = {row["value"][1] for row in store.query(f"resets({selector}[5m]) > 0")}
    assert resets == 1
    # It extrapolates from where its samples are, which on a busy machine are few. Without the
    # restart it would be what the second process made more than the first one.
    (found,) = store.query(f"sum(increase({selector}[5m]))")
    assert found["value"][1] >= sum(RUNS[run]) * 0.7


def test_a_scraped_collector_shows_a_restart_where_the_count_falls(restarted: Stack) -> None:
    """Where it does not fall nothing is promised: its page shows the old count until the first
    export of the new process, and a 0 for the moment before that comes too late.
    """
    for made, stored in made_and_stored(restarted.prometheus_scraping, "falls"):
        assert stored == made


def test_a_restart_is_seen_without_start_timestamps_where_the_count_falls(
    restarted: Stack,
) -> None:
    """VictoriaMetrics has none: a count that is higher after a restart looks as if it went on."""
    found = {
        run: sum(
            row["value"][1]
            for row in restarted.victoria_metrics.query(f"increase({requests_of(run)}[5m])")
        )
        for run in RUNS
    }
    assert found == {"falls": sum(RUNS["falls"]), "rises": max(RUNS["rises"])}


def test_prometheus_without_the_feature_does_not_see_the_restart(
    stack: Stack, tmp_path: Path
) -> None:
    """What an instance id for each process, or the feature, is needed for."""
    stack.prometheus_otlp = store = Featured("prometheus_otlp", tmp_path)
    stack.start("collector", "prometheus_otlp")
    play(stack, (store,), ("rises",))
    assert stored_increase(store, requests_of("rises")) == max(RUNS["rises"])
    assert not store.query(f"resets({requests_of('rises')}[5m]) > 0")
