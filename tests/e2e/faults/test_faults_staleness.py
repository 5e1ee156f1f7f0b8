"""A program that was killed: its series go stale on each way, and an alert on them ends."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.programs import Prometheus, Stack, Store, free_port
from e2e.running import find
from opentelemetry.instrumentation.gluellm.cli.fake_provider import (
    Behaviour,
    FakeProvider,
    FakeProviderThread,
)
from opentelemetry.instrumentation.gluellm.telemetry import semconv
from opentelemetry.instrumentation.gluellm.telemetry.prometheus import metric_name
from support.waiting import wait_until

from .application import environment, telemetry_environment

INSTANCE = "killed"
OLDEST_AGE = (
    f'{metric_name(semconv.REQUEST_OLDEST_AGE)}{{gluellm_request_phase="awaiting_response"}}'
)
LOOKBACK = 300
"""Seconds for which Prometheus takes a last sample as present, unless told otherwise."""
_SHORT = 3
_PATIENCE = 30.0
_HERE = Path(__file__).parent
_CONFIGURATION = _HERE / "configuration"


class Alerting(Prometheus):
    """Prometheus with an alert on requests that hang, and perhaps short-sighted."""

    def __init__(self, name: str, folder: Path, lookback: int | None = None) -> None:
        super().__init__(name, folder)
        self._lookback = lookback
        configuration = yaml.safe_load(self.configuration.read_text())
        configuration["rule_files"] = [str(_CONFIGURATION / "hanging_rule.yaml")]
        self.configuration.write_text(yaml.safe_dump(configuration))

    def command(self, executable: Path) -> list[str]:
        flags = [] if self._lookback is None else [f"--query.lookback-delta={self._lookback}s"]
        return [*super().command(executable), *flags]

    def firing(self) -> bool:
        """Whether the alert fires."""
        alerts: list[dict[str, Any]] = self.ask("/api/v1/alerts", {})["alerts"]
        return any(alert["state"] == "firing" for alert in alerts)


@pytest.fixture
def silent() -> Iterator[FakeProvider]:
    """A provider that never answers."""
    with FakeProviderThread(behaviour=Behaviour(head_delay=math.inf)) as running:
        yield running


@contextmanager
def hanging(
    provider: FakeProvider, log: Path, port: int = 0, **variables: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A program whose only request hangs."""
    command = [sys.executable, str(_HERE / "hanging.py"), provider.openai_url, str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(**variables), stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def end_of_alert(store: Alerting, process: subprocess.Popen[bytes], log: Path) -> float:
    """Wait for the alert, kill the program, wait for the alert's end: the seconds until then."""
    wait_until(lambda: store.firing() or process.poll() is not None, "the alert fires", _PATIENCE)
    assert process.poll() is None, log.read_text()
    process.kill()
    process.wait()
    killed = time.monotonic()
    wait_until(lambda: not store.firing(), "the alert ends", _PATIENCE)
    return time.monotonic() - killed


def is_there(store: Store, at: float | None = None) -> bool:
    """Whether the store shows the program's oldest request."""
    return bool(store.query(OLDEST_AGE, at))


def last_sample(store: Store) -> float:
    """When it was told of it for the last time."""
    (series,) = store.samples(OLDEST_AGE)
    return max(moment for moment, _ in series["values"])


def test_the_collectors_page_forgets_a_killed_program(
    stack: Stack, tmp_path: Path, silent: FakeProvider
) -> None:
    """After `metric_expiration` the page lacks it, and the next scrape marks its series stale."""
    store = stack.prometheus_scraping = Alerting("alerting", tmp_path)
    stack.collector.overlays.append(_CONFIGURATION / "short_expiration.yaml")
    stack.start("collector", store.name)
    variables = telemetry_environment(stack.collector.http_endpoint, INSTANCE)
    log = tmp_path / "log"
    with hanging(silent, log, **variables) as process:
        took = end_of_alert(store, process, log)
    assert took >= _SHORT - 1  # its last export was a moment before
    assert not is_there(store)
    # It has not waited for its lookback: there is a marker.
    assert time.time() < last_sample(store) + LOOKBACK


def test_what_came_by_otlp_lasts_for_the_lookback(
    stack: Stack, tmp_path: Path, silent: FakeProvider
) -> None:
    """Nobody marks these series: the last value stands for `--query.lookback-delta`, frozen."""
    store = stack.prometheus_otlp = Alerting("alerting", tmp_path, lookback=_SHORT)
    stack.start("collector", store.name)
    variables = telemetry_environment(stack.collector.http_endpoint, INSTANCE)
    log = tmp_path / "log"
    with hanging(silent, log, **variables) as process:
        took = end_of_alert(store, process, log)
    assert took >= _SHORT - 1
    last = last_sample(store)
    assert is_there(store, last + _SHORT - 0.1)
    assert not is_there(store, last + _SHORT + 0.1)


def test_the_lookback_is_five_minutes_unless_told_otherwise(
    stack: Stack, tmp_path: Path, silent: FakeProvider
) -> None:
    """With the users' flags a killed program is seen, and an alert rings, for 5 minutes more."""
    stores: tuple[Store, ...] = (stack.prometheus_otlp, stack.victoria_metrics)
    stack.start("collector", *(store.name for store in stores))
    variables = telemetry_environment(stack.collector.http_endpoint, INSTANCE)
    log = tmp_path / "log"
    with hanging(silent, log, **variables) as process:
        for store in stores:
            wait_until(
                lambda store=store: is_there(store) or process.poll() is not None,
                "the request is seen",
                _PATIENCE,
            )
        assert process.poll() is None, log.read_text()
    for store in stores:
        last = last_sample(store)
        assert is_there(store, last + LOOKBACK - 1)
        assert not is_there(store, last + LOOKBACK + 1)


def test_a_program_that_is_scraped_goes_with_its_next_scrape(
    stack: Stack, tmp_path: Path, silent: FakeProvider
) -> None:
    """A scrape that fails marks all series of its target stale."""
    pytest.importorskip("opentelemetry.exporter.prometheus")
    find("prometheus")
    store = Alerting("alerting", tmp_path)
    port = free_port()
    log = tmp_path / "log"
    try:
        store.start()
        store.scrape("programs", port, instance=INSTANCE)
        with hanging(silent, log, port) as process:
            took = end_of_alert(store, process, log)
        assert took < _PATIENCE / 2
        assert not is_there(store)
        assert time.time() < last_sample(store) + LOOKBACK
    finally:
        store.stop()
