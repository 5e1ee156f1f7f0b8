"""The story's plan, and that each act's evidence can be missing."""

import logging

import pytest

from opentelemetry.instrumentation.gluellm.cli.demo.acts import SCENARIOS, STORY, TARGETS
from opentelemetry.instrumentation.gluellm.cli.demo.closing import Row, disagreements
from opentelemetry.instrumentation.gluellm.cli.demo.load import Tally
from opentelemetry.instrumentation.gluellm.cli.demo.notes import Notes
from opentelemetry.instrumentation.gluellm.cli.demo.run import plan
from opentelemetry.instrumentation.gluellm.cli.fake_provider import Counts
from opentelemetry.instrumentation.gluellm.cli.view import PoolView


def test_the_story_takes_the_seconds_that_were_asked_for():
    """All acts, scaled."""
    acts = plan(None, 45)
    assert [act for act, _ in acts] == list(STORY)
    assert sum(seconds for _, seconds in acts) == pytest.approx(45)


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_scenario_takes_all_the_time(name):
    """Alone, or after the act that it can't do without."""
    acts = plan(name, 10)
    assert acts[-1][0].name == name
    assert sum(seconds for _, seconds in acts) == pytest.approx(10)
    assert [act.name for act, _ in plan("recovery", 10)] == ["failures", "recovery"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_act_is_seen_where_nothing_happened(name):
    """Evidence needs numbers: idle pools show no act."""
    evidence = SCENARIOS[name].evidence({target: PoolView() for target in TARGETS})
    assert not evidence.held
    assert not SCENARIOS[name].evidence({}).held


def test_rows_agree_or_say_where_they_don_t():
    """Each of the five comparisons speaks for itself."""
    pool = PoolView(requests=10, failed=2, errors={"pool_timeout": 1}, opened=2, set_ups=2)
    pool.acquired = 9
    counts = Counts(connections=2, requests=9, used_connections=2)
    assert disagreements([Row("p", pool, Tally(10, 2), counts)]) == []
    wrong = disagreements([Row("p", pool, Tally(11, 3), Counts(requests=8))])
    assert len(wrong) == 5
    assert wrong[0] == "p: the metrics count 10 requests, the callers sent 11"


def test_notes_keep_each_warning_once():
    """A warning that repeats is counted; arguments that don't fit don't hurt."""
    notes = Notes()
    logger = logging.getLogger("demo-notes")
    logger.propagate = False
    logger.addHandler(notes)
    for _ in range(3):
        logger.warning("down: %s", "x")
    logger.warning("%d", "no number")
    logger.info("quiet")
    logger.removeHandler(notes)
    assert notes.lines() == [
        "3 x WARNING demo-notes: down: x",
        "WARNING demo-notes: '%d'",
    ]
