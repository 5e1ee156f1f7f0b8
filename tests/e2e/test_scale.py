"""A small instance of the store that `make -C tests/studies boards-scale` times boards on."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
import yaml

from studies.scale.building import BUDGET, OURS, Built, Size, built, rule_files
from studies.scale.queries import boards
from studies.scale.store import BlockStore

pytest.importorskip("any_llm")

_SIZE = Size(instances=2, minutes=20, compacted=False)
_POOL = "instance, gen_ai_provider_name"


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Built by promtool, from a real program's series and the real rules."""
    return built(_SIZE, tmp_path_factory.mktemp("scale"), say=lambda _: None)


@pytest.fixture(scope="module")
def store(there: Built, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockStore]:
    """Prometheus over it."""
    store = BlockStore(tmp_path_factory.mktemp("store"), there.data)
    store.start()
    try:
        yield store
    finally:
        store.stop()


def test_each_program_has_the_series_of_a_real_one(there: Built, store: BlockStore) -> None:
    """None is lost or merged on the way through promtool, and a healthy provider keeps to the
    budget."""
    counts = {
        row["metric"]["instance"]: row["value"][1]
        for row in store.query(f"count by (instance) ({OURS})", there.end)
    }
    assert len(counts) == _SIZE.instances
    assert set(counts.values()) == {sum(there.series.values())}
    providers = [count for provider, count in there.series.items() if provider]
    assert len(providers) == 5
    assert max(providers) <= BUDGET


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            'gluellm_pool_lease_duration_seconds_bucket{le="+Inf"}',
            "gluellm_pool_lease_duration_seconds_count",
        ),
        (
            "gluellm_pool_connection_create_duration_seconds_count",
            "gluellm_pool_connection_opened_total",
        ),
    ],
    ids=["leases", "created"],
)
def test_series_agree_with_each_other_at_all_times(
    there: Built, store: BlockStore, one: str, other: str
) -> None:
    """What a program couldn't emit is no measure of what boards cost."""
    summed = [
        " - ".join(f"sum by ({_POOL}) ({part})" for part in text.split(" - "))
        for text in (one, other)
    ]
    assert _minutes(store, summed[0], there) == _minutes(store, summed[1], there)


def test_counters_never_fall(there: Built, store: BlockStore) -> None:
    """Nor do buckets, from one minute to the next."""
    rising = '{__name__=~"(gluellm|http_client)_.+_(total|bucket|sum|count)"}'
    risen = 0
    for values in _minutes(store, rising, there).values():
        assert all(before <= after for before, after in pairwise(values))
        risen += values[0] < values[-1]
    assert risen


def test_every_request_of_every_board_is_answered(there: Built, store: BlockStore) -> None:
    """None is refused, and none names a variable that its board lacks."""
    asked = [
        one
        for board in boards()
        for one in board.asked(there.end, board.opened(there.end, store.first))
    ]
    assert asked
    faults = {
        (one.board, one.panel): one.fault or answer.error
        for one in asked
        if (answer := store.timed(one.path, one.parameters)).error or one.fault
    }
    assert not faults


def test_recorded_series_are_what_their_rules_say(there: Built, store: BlockStore) -> None:
    """promtool has recorded what Prometheus answers to the rule's expression at that time."""
    recorded = 0
    for rule in _rules():
        # A group has an offset of its own within its interval.
        times = store.query(f"max(timestamp({rule['record']}))", there.end - 4 * 60)
        at = times[0]["value"][1] if times else there.end
        found = _by_labels(store.query(rule["record"], at))
        said = _by_labels(store.query(rule["expr"], at))
        assert found == pytest.approx(said, nan_ok=True), rule["record"]
        recorded += len(found)
    assert recorded


def _rules() -> list[dict[str, str]]:
    groups = [
        group for file in rule_files() for group in yaml.safe_load(file.read_text())["groups"]
    ]
    return [rule for group in groups for rule in group["rules"] if "record" in rule]


def _minutes(store: BlockStore, promql: str, there: Built) -> dict[frozenset[Any], list[float]]:
    parameters = {
        "query": promql,
        "start": str(there.start),
        "end": str(there.end),
        "step": "60",
    }
    found = store.ask("/api/v1/query_range", parameters)["result"]
    assert found
    return {
        frozenset(row["metric"].items()): [float(value) for _, value in row["values"]]
        for row in found
    }


def _by_labels(rows: list[dict[str, Any]]) -> dict[frozenset[Any], Any]:
    return {
        frozenset((n, v) for n, v in row["metric"].items() if n != "__name__"): row["value"][1]
        for row in rows
    }
