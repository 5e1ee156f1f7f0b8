"""Series of a killed program, and so alerts on them: when they end in each store."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from e2e.processes import caller, environment, scraped_at
from e2e.programs import STORES, Stack, Store
from e2e.running import free_port
from gluellm_pools.fake_provider import FakeProvider
from support.waiting import wait_until

SERIES = "gluellm_pool_live"
LOOKBACK = 300
"""Seconds for which stores show a last sample, by default."""
_PATIENCE = 30.0

pytest.importorskip("any_llm")


def last_sample(store: Store) -> float:
    """Time of the series' newest sample."""
    (series,) = store.samples(SERIES)
    return max(moment for moment, _ in series["values"])


def assert_marked_stale(store: Store) -> None:
    """The series ends by a marker: sooner than the lookback."""
    wait_until(lambda: not store.query(SERIES), "the series ends", _PATIENCE)
    assert time.time() < last_sample(store) + LOOKBACK


def test_series_of_a_scraped_program_end_with_the_next_scrape(
    stack: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """A scrape that fails marks all series of its target stale."""
    store, port = stack.prometheus_scraping, free_port()
    stack.start(store.name)
    store.scrape("programs", port, instance="killed")
    with caller(provider, scraped_at(port), tmp_path / "log") as program:
        program.call(1)
        wait_until(lambda: store.query(SERIES), "a series", _PATIENCE)
        program.kill()
    assert_marked_stale(store)


def test_series_from_a_collector_end_with_its_page_or_after_five_minutes(
    stack: Stack, provider: FakeProvider, tmp_path: Path
) -> None:
    """After `metric_expiration` they are not on the page any more, and a scrape marks them stale.

    Nothing marks pushed series: stores show them, and alerts fire on them, for the lookback.
    """
    stack.collector.overlays.append(Path(__file__).parent / "scripts" / "short_expiration.yaml")
    stack.start()
    variables = environment(stack.collector.http_endpoint, "killed", "killed", every=0.2)
    with caller(provider, variables, tmp_path / "log") as program:
        program.call(1)
        for name in STORES:
            wait_until(lambda name=name: getattr(stack, name).query(SERIES), name, _PATIENCE)
        program.kill()
    assert_marked_stale(stack.prometheus_scraping)
    pushed: tuple[Store, ...] = (stack.prometheus_otlp, stack.victoria_metrics)
    for store in pushed:
        last = last_sample(store)
        assert store.query(SERIES, last + LOOKBACK - 1)
        assert not store.query(SERIES, last + LOOKBACK + 1)
