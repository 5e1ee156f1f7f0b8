"""Under random load with faults, what is told is what the system, servers and clients know."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from .measures import Measures
from .run import MODES, run
from .saturation import study

SEED = 20_261_125
SLACK = 10.0
"""Other tests run meanwhile: how exact times are is for the program to judge."""
PAIRS = [(library, mode) for library, modes in MODES.items() for mode in modes]


@pytest.mark.parametrize(("library", "mode"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
# Pools and responses that are dropped on purpose say so when the garbage collector finds them.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_is_told_is_so(
    library: str,
    mode: str,
    record_property: Callable[[str, object], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Connections, requests by phase, times and the rows of the outcome table, in two pools' lives.

    A failure names the seed and the step: ``python -m studies.load.truth --seed`` has them again.
    """
    caplog.set_level(logging.CRITICAL, "asyncio")
    measures = Measures()
    run(library, mode, seed=SEED, measures=measures, generations=1, slack=SLACK)
    assert measures.compared["rows of the outcome table"] >= 2
    record_property("requests whose rows were compared", sum(measures.requests.values()))
    for what, count in measures.compared.items():
        record_property(f"samples compared: {what}", count)


@pytest.mark.parametrize(("library", "mode"), PAIRS, ids=[" ".join(pair) for pair in PAIRS])
def test_readings_of_a_full_pool_are_right(library: str, mode: str) -> None:
    """For a second, from another thread; ``--saturation`` has the long form."""
    found = study(library, mode, "direct", workers=12, places=4, seconds=1.0, seed=SEED)
    assert len(found.readings) > 5
    assert found.wrong == 0, found.row()
    assert found.failures == []
