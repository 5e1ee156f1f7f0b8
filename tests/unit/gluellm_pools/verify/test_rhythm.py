"""How many exporters write into one series."""

import random

import pytest

from gluellm_pools.verify.rhythm import interval, writers


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
    """This works unless they share the interval evenly."""
    times = samples(offsets)
    assert writers(times) == len(offsets)
    assert interval(times, len(offsets)) == pytest.approx(60, abs=0.5)


def test_one_late_sample_among_many_changes_no_count():
    """A retry, a blocked loop, the flush at the end; or exports at will, as of a function."""
    times = samples([0.0], rounds=20)
    times[5] += 20
    assert writers([*times, times[-1] + 4]) == 1
    times = samples([0.0, 7.0], rounds=15)
    times[10] += 5
    assert writers(times) == 2
    chance = random.Random(7)
    assert writers(sorted(chance.uniform(0, 600) for _ in range(40))) == 1
    for few in ([], [1.0], [1.0, 2.0], [1.0, 1.0, 1.0, 1.0]):
        assert writers(few) == 1
        assert (interval(few) is None) == (len(few) < 2)
