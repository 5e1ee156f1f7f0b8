"""Pools live at random, and after each step all that is told of them is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import hypothesis.configuration
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .counting import Counts
from .machine import PoolLife
from .running import MACHINES, machine
from .world import Surroundings

# Nothing is stored there but what it knows of Unicode; the folder is one that git doesn't see.
hypothesis.configuration.set_hypothesis_home_dir(".cache/hypothesis")

SMALL = settings(
    max_examples=8,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=False,
    # Looking for a smaller life takes minutes: ``make model`` does that.
    phases=[Phase.generate],
    # A step waits for real sockets, which is what takes the time.
    suppress_health_check=[HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def surroundings() -> Iterator[Surroundings]:
    """The servers' loop and their certificates."""
    with Surroundings.start() as started:
        yield started


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(("library", "mode"), MACHINES)
def test_random_lives(
    surroundings: Surroundings,
    library: str,
    mode: str,
    record_property: Callable[[str, object], None],
) -> None:
    """Eight short lives for each library in each mode, the same in every run."""
    counts = Counts()
    lives: type[PoolLife] = machine(surroundings, library, mode, counts)
    run_state_machine_as_test(lives, settings=SMALL)
    record_property("examples", counts.examples)
    record_property("steps", counts.steps.total())
    record_property("times that everything was compared", counts.invariants)
    record_property("distinct states of one library and mode", len(counts.states))
