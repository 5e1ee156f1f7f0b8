"""How many exporters write into one series."""

import random

import pytest

from opentelemetry.instrumentation.gluellm.cli.verify.rhythm import interval, writers


def samples(offsets, *, every=60.0, rounds=10, jitter=0.2, seed=1):
    """What exporters that began at these moments leave behind."""
    chance = random.Random(seed)
    return sorted(
        offset + every * number + chance.uniform(0, jitter)
        for offset in offsets
        for number in range(rounds)
    )


@pytest.mark.parametrize("offsets", [[3.0], [0.0, 7.0], [0.0, 2.0, 50.0], [0, 11, 13, 40]])
def test_exporters_are_counted_by_their_rhythm(offsets):
    """As long as they don't happen to share the interval evenly."""
    times = samples(offsets)
    assert writers(times) == len(offsets)
    assert interval(times, len(offsets)) == pytest.approx(60, abs=0.5)


def test_one_that_misses_a_beat_is_still_one():
    """A retry, a blocked loop, the flush at the end."""
    times = samples([0.0], rounds=20)
    times[5] += 20
    times.append(times[-1] + 4)
    assert writers(times) == 1


def test_a_retry_does_not_hide_the_second_exporter():
    """One late sample among many."""
    times = samples([0.0, 7.0], rounds=15)
    times[10] += 5
    assert writers(times) == 2


def test_no_rhythm_is_no_second_exporter():
    """Exports at will, as of a function that flushes when it is called."""
    chance = random.Random(7)
    times = sorted(chance.uniform(0, 600) for _ in range(40))
    assert writers(times) == 1


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 2.0], [1.0, 1.0, 1.0, 1.0]])
def test_few_samples_tell_nothing(times):
    """Not even an interval, for fewer than two."""
    assert writers(times) == 1
    assert (interval(times) is None) == (len(times) < 2)
