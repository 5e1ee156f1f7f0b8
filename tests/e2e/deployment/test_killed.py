"""A killed program: its series, and so an alert on them, end on each way in its own time."""

from __future__ import annotations

import math
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from e2e.processes import SCRIPTS, environment
from e2e.programs import STORES, Stack, Store
from e2e.running import free_port
from opentelemetry.instrumentation.gluellm.cli.fake_provider import Behaviour, FakeProviderThread
from support.waiting import wait_until

OLDEST_AGE = 'gluellm_pool_request_oldest_age_seconds{gluellm_request_phase="awaiting_response"}'
LOOKBACK = 300
"""Seconds for which stores take a last sample as present, unless told otherwise."""
_PATIENCE = 30.0

pytest.importorskip("any_llm")


@contextmanager
def hanging(log: Path, port: int = 0, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program whose only request hangs; it is killed in the end."""
    with (
        FakeProviderThread(behaviour=Behaviour(head_delay=math.inf)) as silent,
        log.open("wb") as output,
    ):
        process = subprocess.Popen(
            [sys.executable, SCRIPTS / "hanging.py", silent.openai_url, str(port)],
            env={**environment(), **variables},
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def seen(store: Store, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the store shows the program's request."""
    wait_until(lambda: store.query(OLDEST_AGE) or process.poll() is not None, "seen", _PATIENCE)
    assert process.poll() is None, log.read_text()


def last_sample(store: Store) -> float:
    """When it was told of the request for the last time."""
    (series,) = store.samples(OLDEST_AGE)
    return max(moment for moment, _ in series["values"])


def gone(store: Store) -> None:
    """Wait until the store shows it no more, by a marker: it has not waited for its lookback."""
    wait_until(lambda: not store.query(OLDEST_AGE), "it goes", _PATIENCE)
    assert time.time() < last_sample(store) + LOOKBACK


def test_what_is_scraped_from_it_goes_with_the_next_scrape(stack: Stack, tmp_path: Path) -> None:
    """A scrape that fails marks all series of its target stale."""
    store, log, port = stack.prometheus_scraping, tmp_path / "log", free_port()
    stack.start(store.name)
    store.scrape("programs", port, instance="killed")
    with hanging(log, port) as process:
        seen(store, process, log)
    gone(store)


def test_what_a_collector_hands_on_goes_with_its_page_or_after_five_minutes(
    stack: Stack, tmp_path: Path
) -> None:
    """After `metric_expiration` the page lacks it, and a scrape marks it stale. Nobody marks what
    is pushed: a killed program is seen, and an alert rings, for the lookback of stores more.
    """
    stack.collector.overlays.append(SCRIPTS / "short_expiration.yaml")
    stack.start()
    log = tmp_path / "log"
    variables = environment(stack.collector.http_endpoint, "hangs", "killed", every=0.2)
    with hanging(log, **variables) as process:
        for name in STORES:
            seen(getattr(stack, name), process, log)
    gone(stack.prometheus_scraping)
    pushed: tuple[Store, ...] = (stack.prometheus_otlp, stack.victoria_metrics)
    for store in pushed:
        last = last_sample(store)
        assert store.query(OLDEST_AGE, last + LOOKBACK - 1)
        assert not store.query(OLDEST_AGE, last + LOOKBACK + 1)
