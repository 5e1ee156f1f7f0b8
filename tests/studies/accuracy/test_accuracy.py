"""What decides whether the score and the alerts are as they should be."""

from __future__ import annotations

import pytest

from gluellm_pools.demo.acts import SCENARIOS

from .catalogue import INCIDENTS, LEAK, NOT_BY_LOAD, PAGES, STUCK, TIMEOUTS
from .incidents.matrix import Row, bounds, waits, wrong
from .scoring.__main__ import passes
from .scoring.runs import Result

IN_TIME = {STUCK: 75.0, LEAK: 199.6}


def test_the_catalogue_knows_every_alert_and_every_act() -> None:
    """And none that there is not."""
    expected = {alert for one in INCIDENTS.values() for alert in one.expects}
    assert waits().keys() == expected | NOT_BY_LOAD.keys()
    assert waits().keys() >= {*PAGES, *(a for one in INCIDENTS.values() for a in one.allows)}
    acts = {act for one in INCIDENTS.values() for act in one.act}
    # The causes of slow calls over a pool without a problem are no findings of diagnose().
    assert acts == SCENARIOS.keys() - {"recovery", "rate-limited", "stalled-stream"}


@pytest.mark.parametrize(
    ("incident", "fired", "held_back", "found"),
    [
        ("leak", IN_TIME, [LEAK], []),
        ("leak", {STUCK: 200.0}, [], [f"{LEAK} MISSING (220)", f"{STUCK} **200** (162, LATE)"]),
        ("leak", IN_TIME, [STUCK], [f"{STUCK} **75** (162), HELD BACK"]),
        ("saturated", {TIMEOUTS: 80.0, LEAK: 90.0}, [], [f"{TIMEOUTS} 80 PAGES"]),
        ("churn", {"GlueLLMClientChurn": 90.0, LEAK: 90.0}, [LEAK], [f"{LEAK} 90 ?, HELD BACK"]),
        ("wrong-limit", {TIMEOUTS: 80.0}, [], []),  # another alert is later than what was played
    ],
)
def test_what_is_wrong_with_alerts_is_told(
    incident: str, fired: dict[str, float], held_back: list[str], found: list[str]
) -> None:
    """Late, missing, a page that nothing calls for, or held back without a reason."""
    one = INCIDENTS[incident]
    row = Row(one, bounds(one, 10.0), 300.0, fired, held_back)
    assert list(wrong([row])) == [f"{incident}: {line}" for line in found]


def test_a_score_passes_with_few_misses_and_no_false_alarm() -> None:
    """5% of misses; one false alarm is too many."""
    right, miss, alarm = (
        Result(index=0, incident=name, verdict=verdict)
        for name, verdict in (("leak", "leak"), ("leak", "healthy"), ("lull", "leak"))
    )
    assert passes([*[right] * 19, miss])
    assert not passes([*[right] * 18, miss, miss])
    assert not passes([*[right] * 199, alarm])
