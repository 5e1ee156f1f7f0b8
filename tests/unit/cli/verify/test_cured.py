"""After the cure: what only ended series show is told as past, not as wrong."""

import dataclasses

import pytest

from opentelemetry.instrumentation.gluellm.cli.verify.facts import FallingCounter, Series
from opentelemetry.instrumentation.gluellm.cli.verify.falling import judged
from opentelemetry.instrumentation.gluellm.cli.verify.findings import findings
from opentelemetry.instrumentation.gluellm.cli.verify.naming import Stored, Style, styled
from opentelemetry.instrumentation.gluellm.cli.verify.ways import arrivals
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .test_judging import _LABELS, _NOW, given, kinds
from .test_ways import COLLECTOR, NO_HONOR, NO_INSTANCE

_FELL = FallingCounter(_LABELS, 20.0, 40.0)


@pytest.mark.parametrize(
    "ended",
    [
        Series(NO_HONOR, _NOW - 5, 45.0, marked=True),  # reloaded: marked by the next scrape
        Series(NO_HONOR, _NOW - 50, 45.0),  # restarted: nobody marks them
    ],
)
def test_labels_that_were_exported_are_no_error_any_more(ended):
    """Judged by the series with fresh samples; the old ones are told with their end."""
    cured = given(processes=[ended, Series(COLLECTOR, _NOW - 1, 10.0)], scraped=True)
    assert kinds(cured) == ["info: labels_exported"]
    (finding,) = findings(cured, arrivals(cured))
    assert finding.seen.startswith("until 5")
    assert " s ago: api: job and instance are those of the Collector" in finding.seen
    assert finding.means == "the newest samples are right"


def test_labels_are_an_error_as_long_as_such_samples_come():
    """One of two processes is right, the other is not."""
    facts = given(
        processes=[Series(NO_HONOR, _NOW - 5, 45.0), Series(COLLECTOR, _NOW - 1, 10.0)],
        scraped=True,
    )
    assert "error: labels_exported" in kinds(facts)


def test_where_all_has_ended_the_newest_samples_are_judged():
    """Nothing says that they were cured."""
    facts = given(
        processes=[Series(NO_HONOR, _NOW - 700, 45.0), Series(COLLECTOR, _NOW - 2000, 10.0)],
        scraped=True,
    )
    assert kinds(facts)[:2] == ["error: labels_exported", "error: stopped"]


def test_a_process_without_an_instance_that_has_ended_is_past():
    """The same for warnings."""
    facts = given(
        processes=[
            Series(NO_INSTANCE, _NOW - 200, 45.0),
            Series({**COLLECTOR, "job": "api"}, _NOW - 1, 10.0),
        ],
        targets={("other", "127.0.0.1:8889"): 1.0},
        scraped=True,
    )
    assert kinds(facts) == ["info: no_instance"]


def test_names_of_before_are_past():
    """They stay in the window, and get no sample."""
    good = given()
    old = Stored(semconv.POOL_LIVE, styled(semconv.POOL_LIVE, Style.DOTS), (Style.DOTS,))
    newest = {one.counted for one in good.stored}
    both = dataclasses.replace(good, stored=[*good.stored, old])
    assert kinds(both) == ["error: names_differ"]
    assert kinds(dataclasses.replace(both, newest_names=newest)) == ["info: names_differ"]


@pytest.mark.parametrize(
    ("until", "told"), [(_NOW - 240, "until 4 min ago: counters of"), (None, "earlier: counters")]
)
def test_a_collision_that_is_over_is_past(until, told):
    """The falls stay in the window of an hour."""
    facts = given(falling=[dataclasses.replace(_FELL, over=True, until=until)])
    assert kinds(facts) == ["info: processes_collide"]
    assert findings(facts, arrivals(facts))[0].seen.startswith(told)
    still = dataclasses.replace(facts, falling=[*facts.falling, _FELL])
    assert kinds(still) == ["error: processes_collide"]


def _times(number, *, every=4.0, end=_NOW):
    return [end - every * (number - 1 - place) for place in range(number)]


def test_a_counter_falls_still_or_did_before():
    """By its newest samples: none for several intervals, or ten that rise."""
    two = [value for place in range(20) for value in (100 + place, 5 + place)]
    now = judged(_FELL, _times(40), two, _NOW)
    assert (now.over, now.falls, now.samples) == (False, 20, 40)
    ended = judged(_FELL, _times(40, end=_NOW - 40), two, _NOW)
    assert (ended.over, ended.until) == (True, _NOW - 40)
    rising = judged(_FELL, _times(50), [*two, *range(200, 210)], _NOW)
    assert (rising.over, rising.until) == (True, _times(50)[39])
    nothing = judged(_FELL, _times(5), [1, 2, 3, 4, 5], _NOW)
    assert (nothing.over, nothing.until) == (True, None)


def test_a_collision_that_began_a_moment_ago_counts_by_its_newest_samples():
    """Its falls are few of the window's."""
    long = FallingCounter(_LABELS, 4.0, 900.0)
    now = judged(long, _times(8), [100, 5, 101, 6, 102, 7, 103, 8], _NOW)
    assert now.share == 0.5
