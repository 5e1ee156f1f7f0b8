"""Plan of the demo, and acts whose evidence is missing."""

import logging

import pytest

from gluellm_pools.demo.acts import SCENARIOS, STORY
from gluellm_pools.demo.closing import Row, disagreements
from gluellm_pools.demo.errors import explanation
from gluellm_pools.demo.evidence import Seen
from gluellm_pools.demo.load import Tally
from gluellm_pools.demo.notes import Notes, PoolLog
from gluellm_pools.demo.planning import left_out, plan
from gluellm_pools.demo.targets import TARGETS
from gluellm_pools.fake_provider import Counts
from gluellm_pools.view import PoolView


@pytest.mark.parametrize("length", [*range(6, 17), 55])
def test_act_is_played_only_with_its_time_and_its_preceding_act(length):
    """The acts that are left out are listed."""
    acts = plan(None, length)
    names = [act.name for act, _ in acts]
    assert sum(seconds for _, seconds in acts) == pytest.approx(length)
    for act, seconds in acts:
        assert seconds >= act.shortest
        assert act.after is None or act.after in names[: names.index(act.name)]
    if length >= 15:
        assert [act for act, _ in acts] == list(STORY)
        assert left_out(acts) == ""
    if length == 6:
        assert names == ["healthy", "saturated", "slow", "churn", "failures"]
        missing = "leak, http2-stuck, blocked-loop, recovery"
        assert f"more time: {missing}. The whole story takes 15 s" in left_out(acts)


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_scenario_takes_all_the_time_and_is_not_seen_where_nothing_happened(name):
    """Alone, or after the act that it can't do without. Evidence needs numbers."""
    acts = plan(name, 10)
    before = {"recovery": ["failures"], "slow": ["healthy"]}.get(name)
    assert [act.name for act, _ in acts][-1:] == [name]
    assert before in (None, [act.name for act, _ in acts][:-1])
    assert sum(seconds for _, seconds in acts) == pytest.approx(10)
    idle = Seen({target: PoolView() for target in TARGETS}, 0.0)
    assert not SCENARIOS[name].evidence(idle).held
    assert not SCENARIOS[name].evidence(Seen()).held


def test_rows_agree_or_name_their_difference():
    """Each of the five comparisons is independent."""
    pool = PoolView(requests=10, failed=2, errors={"pool_timeout": 1}, opened=2, set_ups=2)
    pool.acquired = 9
    counts = Counts(connections=2, requests=9, used_connections=2)
    assert disagreements([Row("p", pool, Tally(10, 2), counts)]) == []
    wrong = disagreements([Row("p", pool, Tally(11, 3), Counts(requests=8))])
    assert len(wrong) == 5
    assert wrong[0] == "p: the metrics count 10 requests, the callers sent 11"
    # What HTTP/2 refused in the client had a connection, and is neither reached nor reused.
    pool = PoolView(requests=5, failed=3, errors={"protocol_error": 3}, opened=1, set_ups=1)
    pool.acquired = 5
    counts = Counts(connections=1, requests=2, used_connections=1)
    assert disagreements([Row("p", pool, Tally(5, 3), counts, 3)]) == []
    assert len(disagreements([Row("p", pool, Tally(5, 3), counts)])) == 2


def test_an_exception_is_shown_with_its_causes_and_notes():
    """The outermost comes first, as in a log. Exceptions without a note are left out."""
    cause = TimeoutError()
    try:
        try:
            raise cause
        except TimeoutError as error:
            raise ValueError("late") from error
    except ValueError as error:
        caught = error
    assert explanation(caught) == []
    cause.add_note("max 4")
    assert explanation(caught) == ["builtins.ValueError: late <- builtins.TimeoutError", "max 4"]


def test_log_lines_are_kept_until_they_are_read():
    """INFO and above, without control characters, and not passed to other handlers."""
    log = PoolLog()
    logger = logging.getLogger("opentelemetry.instrumentation.gluellm")
    before = (logger.level, logger.propagate, list(logger.handlers))
    log.attach()
    try:
        logger.warning("a\x1b[31m")
        logger.info("b")
        logger.debug("c")
        assert not logger.propagate
    finally:
        log.detach()
    assert log.take() == [(logging.WARNING, "a?[31m"), (logging.INFO, "b")]
    assert log.take() == []
    assert (logger.level, logger.propagate, list(logger.handlers)) == before


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
    assert notes.lines() == ["3 x WARNING demo-notes: down: x", "WARNING demo-notes: '%d'"]
