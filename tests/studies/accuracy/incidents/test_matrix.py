"""The catalogue knows the alerts, and the matrix tells what is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("any_llm")
pytest.importorskip("h2")

from .catalogue import HIDDEN, INCIDENTS, LEAK, NEAR, STUCK, TIMEOUTS
from .incident import PAGES
from .matrix import Bounds, Row, table
from .store import RULES, waits

pytestmark = pytest.mark.skipif(not RULES.exists(), reason="run from the repository")

NOT_BY_LOAD = {
    "GlueLLMBlind": "a version of a library that lacks something, or an instance that falls silent",
    "GlueLLMPoolAnomaly": "a fault in an HTTP library, met by chance",
}
"""Alerts that no incident raises, and what would."""
BOUNDS = Bounds(interval=10.0, waits={LEAK: 120.0, NEAR: 120.0}, played=300.0)
LEAKING = INCIDENTS["leak"]


def test_every_alert_is_expected_of_an_incident() -> None:
    """Or named here; and no incident expects an alert that there is not."""
    expected = {alert for incident in INCIDENTS.values() for alert in incident.expects}
    allowed = {alert for incident in INCIDENTS.values() for alert in incident.allows}
    assert waits().keys() == expected | NOT_BY_LOAD.keys()
    assert allowed <= waits().keys()
    assert waits().keys() >= PAGES


def test_there_are_ten_to_be_found() -> None:
    """And two beside, of which nothing is expected."""
    assert len(HIDDEN) == 10
    assert not any(INCIDENTS[name].expects for name in INCIDENTS if name not in HIDDEN)


def test_the_bound_is_the_designs_at_its_interval() -> None:
    """150 s after what it watches is there, with 60 s between exports and a ``for`` of 1 min."""
    bounds = replace(BOUNDS, interval=60.0, waits={STUCK: 60.0})
    assert bounds.of(LEAKING, STUCK) == LEAKING.expects[STUCK] + 150.0


def test_what_fired_in_time_is_right() -> None:
    """Nothing to say, and the seconds stand in the table."""
    row = Row("pear", LEAKING, {STUCK: 75.0, LEAK: 199.6}, frozenset({LEAK}))
    assert row.wrong(BOUNDS) == []
    assert "| leak | **200** (220), held back | **75** (102) |" in table([row], BOUNDS)


def test_a_late_or_missing_alert_is_wrong() -> None:
    """Each is named with its incident."""
    row = Row("pear", LEAKING, {STUCK: 103.0})
    assert set(row.wrong(BOUNDS)) == {
        f"leak: {STUCK} after 103 s, not 102",
        f"leak: {LEAK} did not fire",
    }
    assert "MISSING (220) | **103** (102, LATE)" in table([row], BOUNDS)


def test_nothing_is_expected_of_a_time_that_was_not_played() -> None:
    """An alert with a ``for`` of a quarter of an hour needs a longer replay."""
    bounds = replace(BOUNDS, waits={LEAK: 900.0})
    row = Row("pear", LEAKING, {STUCK: 75.0})
    assert row.wrong(bounds) == []
    assert "later (1000)" in table([row], bounds)


@pytest.mark.parametrize("name", ["healthy", "saturated", "churn"])
def test_a_page_that_nothing_calls_for_is_wrong(name: str) -> None:
    """Whatever else fires is marked, and does not fail."""
    row = Row("pear", INCIDENTS[name], {TIMEOUTS: 80.0, LEAK: 90.0})
    wrong = [line for line in row.wrong(BOUNDS) if "pages for it" in line]
    assert wrong == [f"{name}: {TIMEOUTS} pages for it, after 80 s"]
    assert "| 90 ? | 80 PAGES |" in table([row], BOUNDS)


def test_a_page_that_is_held_back_is_wrong() -> None:
    """So is what is held back where nothing explains it."""
    row = Row("pear", LEAKING, {STUCK: 75.0, LEAK: 200.0}, frozenset({STUCK}))
    assert row.wrong(BOUNDS) == [f"leak: {STUCK} is held back, and is a page"]
    row = Row("pear", INCIDENTS["churn"], {LEAK: 200.0}, frozenset({LEAK}))
    assert f"churn: {LEAK} is held back by nothing" in row.wrong(BOUNDS)
