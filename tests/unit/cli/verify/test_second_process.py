"""A process that comes into the series of another one, which was alone before."""

import itertools

import pytest

from opentelemetry.instrumentation.gluellm.cli.verify.facts import FallingCounter
from opentelemetry.instrumentation.gluellm.cli.verify.falling import judged

from .test_cured import _times
from .test_judging import _LABELS, _NOW, given, kinds


def found(values: list[float]) -> list[str]:
    """What is told of a counter with these as its newest samples."""
    times = _times(len(values))
    falls = sum(b < a for a, b in itertools.pairwise(values))
    whole = FallingCounter(_LABELS, falls, len(values))
    return kinds(given(falling=[judged(whole, times, values, _NOW)]))


@pytest.mark.parametrize("alone", [0, 30, 140])
def test_a_second_process_is_noticed_however_long_the_first_was_alone(alone):
    """Few falls of all samples are enough, where each second sample falls since it came."""
    first = [7.0 * number for number in range(alone)]
    both = [value for number in range(6) for value in (7.0 * (alone + number), 6.0 * number)]
    assert found([*first, *both]) == ["error: processes_collide"]


@pytest.mark.parametrize("every", [6, 10, 20])
def test_a_process_that_is_restarted_under_its_name_collides_with_nobody(every):
    """It falls too, and rises in between, however long it lived before."""
    lives = [7.0 * number for _ in range(5) for number in range(every)]
    assert found(lives) == []
    assert found([7.0 * number for number in range(60)] + lives) == []
