"""Counters that fall: several processes, or deltas."""

import dataclasses
import itertools
import random

import pytest

from gluellm_pools.verify.facts import FallingCounter, Series
from gluellm_pools.verify.falling import judged
from gluellm_pools.verify.findings import findings
from gluellm_pools.verify.naming import Stored, Style, styled
from gluellm_pools.verify.product import Kind, Product
from gluellm_pools.verify.ways import arrivals
from opentelemetry.instrumentation.gluellm.telemetry import semconv

from .test_judging import _LABELS, _NOW, given, kinds
from .test_ways import COLLECTOR, NO_HONOR, NO_INSTANCE

_FELL = FallingCounter(_LABELS, 20.0, 40.0)


def _deltas() -> list[float]:
    chance = random.Random(3)
    return [float(chance.randint(5, 30)) for _ in range(40)]


def test_one_exporter_s_rhythm_with_falls_is_deltas():
    """No two processes alternate so that each of them rises."""
    assert judged(_FELL, _times(40), _deltas(), _NOW).deltas
    for processes in (2, 3):  # they share the interval evenly, and each second or third rises
        values = [1000.0 * (place % processes) + place for place in range(40)]
        assert not judged(_FELL, _times(40), values, _NOW).deltas
    # Without a rhythm, as of two exporters that began when they liked.
    times = [time + (0 if place % 2 else 1.7) for place, time in enumerate(_times(40))]
    assert not judged(_FELL, times, _deltas(), _NOW).deltas


def test_deltas_are_called_so_and_their_advice_comes_first():
    """It was one process: an instance of its own would not help. Prometheus refuses deltas."""
    fell = FallingCounter(_LABELS, 20.0, 40.0, deltas=True)
    assert kinds(given(falling=[fell])) == ["error: processes_collide"]
    process = Series({**_LABELS, "scope_name": "gluellm"}, _NOW)
    store = Product(Kind.VICTORIA_METRICS, "1.151")
    facts = given(falling=[fell], product=store, processes=[process])
    assert kinds(facts) == ["error: deltas_stored"]
    (finding,) = findings(facts, arrivals(facts))
    assert finding.advice.startswith("unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE")
    assert "service.instance.id" in finding.advice


# After the cure: what only ended series show is told as past, not as wrong


@pytest.mark.parametrize(
    ("old", "age", "more", "found"),
    [
        ({"marked": True}, 5, {}, ["info: labels_exported"]),  # reloaded: the next scrape marks
        ({}, 50, {}, ["info: labels_exported"]),  # restarted: nobody marks them
        ({}, 5, {}, ["error: labels_exported"]),  # one of two processes is not right
        ({}, 700, {"new": 2000}, ["error: labels_exported", "error: stopped"]),
    ],
)
def test_labels_that_are_no_longer_exported_are_no_error(old, age, more, found):
    """Only series with fresh samples are judged; the old ones are listed with their end."""
    processes = [Series(NO_HONOR, _NOW - age, 45.0, **old)]
    processes.append(Series(COLLECTOR, _NOW - more.get("new", 1), 10.0))
    facts = given(processes=processes, scraped=True)
    assert kinds(facts)[: len(found)] == found
    if found[0].startswith("info"):
        (finding,) = findings(facts, arrivals(facts))
        assert finding.observed.startswith("until 5")
        assert " s ago: api: job and instance are those of the Collector" in finding.observed
        assert finding.explanation == "the newest samples are right"


def test_a_process_without_an_instance_that_has_ended_is_past():
    """The same for warnings."""
    living = Series({**COLLECTOR, "job": "api"}, _NOW - 1, 10.0)
    facts = given(
        processes=[Series(NO_INSTANCE, _NOW - 200, 45.0), living],
        targets={("other", "127.0.0.1:8889"): 1.0},
        scraped=True,
    )
    assert kinds(facts) == ["info: no_instance"]


def test_old_names_are_not_reported():
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
    assert findings(facts, arrivals(facts))[0].observed.startswith(told)
    still = dataclasses.replace(facts, falling=[*facts.falling, _FELL])
    assert kinds(still) == ["error: processes_collide"]


def _times(number, *, every=4.0, end=_NOW):
    return [end - every * (number - 1 - place) for place in range(number)]


def test_falling_counter_is_judged_by_its_newest_samples():
    """It is over if none falls for several intervals, or if ten rise."""
    two = [value for place in range(20) for value in (100 + place, 5 + place)]
    now = judged(_FELL, _times(40), two, _NOW)
    assert (now.over, now.falls, now.samples) == (False, 20, 40)
    for times, values, until in (
        (_times(40, end=_NOW - 40), two, _NOW - 40),
        (_times(50), [*two, *range(200, 210)], _times(50)[39]),
        (_times(5), [1, 2, 3, 4, 5], None),
    ):
        ended = judged(_FELL, times, values, _NOW)
        assert (ended.over, ended.until) == (True, until)
    # One that began a moment ago has few falls of the window's.
    long = FallingCounter(_LABELS, 4.0, 900.0)
    assert judged(long, _times(8), [100, 5, 101, 6, 102, 7, 103, 8], _NOW).share == 0.5


def colliding(values):
    """What is told of a counter with these as its newest samples."""
    falls = sum(b < a for a, b in itertools.pairwise(values))
    whole = FallingCounter(_LABELS, falls, len(values))
    return kinds(given(falling=[judged(whole, _times(len(values)), values, _NOW)]))


@pytest.mark.parametrize("alone", [0, 30, 140])
def test_a_second_process_is_noticed_however_long_the_first_was_alone(alone):
    """Few falls of all samples are enough, where each second sample falls since it came."""
    first = [7.0 * number for number in range(alone)]
    both = [value for number in range(6) for value in (7.0 * (alone + number), 6.0 * number)]
    assert colliding([*first, *both]) == ["error: processes_collide"]


@pytest.mark.parametrize("every", [6, 10, 20])
def test_a_process_that_is_restarted_under_its_name_is_no_collision(every):
    """It falls too, and rises in between, however long it lived before."""
    lives = [7.0 * number for _ in range(5) for number in range(every)]
    assert colliding(lives) == []
    assert colliding([7.0 * number for number in range(60)] + lives) == []
